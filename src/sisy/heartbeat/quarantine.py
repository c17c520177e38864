"""Mark unusable rows, so that they do not stop the others: see `sisy.store.isolation`."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from django.db.models import QuerySet

from sisy.lifecycle import task_state
from sisy.lifecycle.reject import reject_unreadable
from sisy.models import Process, Queue, QueuedRun, Run, Task
from sisy.runtime.log import logger
from sisy.store.isolation import isolating

UNREADABLE_BATCH = 1000

T = TypeVar("T")


def run_or_set_broken(using: str, pk: int, step: Callable[[], T]) -> T | None:
    """Return the result of ``step`` for one task. If it fails, mark the task as broken.

    Raises:
        Exception: the database is unavailable.
    """

    def give_up(error: Exception) -> None:
        logger.exception("Cannot plan task %s; marked it as broken", pk)
        reason = (
            f"Could not plan the task: {type(error).__name__}. See the log for the full error."
        )
        set_broken(using, pk, reason)

    return isolating(step, give_up)


def run_each(using: str, pks: Iterable[int], step: Callable[[int], int]) -> int:
    """Call ``step`` for each task of a batch that failed as a whole, and return the sum.

    A task for which it fails is marked as broken.

    Raises:
        Exception: as for `run_or_set_broken`.
    """
    return sum(run_or_set_broken(using, pk, partial(step, pk)) or 0 for pk in pks)


def set_broken(using: str, pk: int, reason: str) -> None:
    """Mark a task as broken. The heartbeat plans it again when its timing is corrected."""
    task_state.broken(reason).write(Task.objects.using(using).filter(pk=pk))


def reject_unreadable_rows(using: str, now: datetime) -> int:
    """Find rows whose moments cannot be read, and return how many there were.

    A task is marked as broken, and a run as failed. A process is deleted: it has to register
    again, and a heartbeat rescues its runs. A pause whose end cannot be read lasts until you
    resume the task or queue.
    """
    # Such a row makes every look at the next due moment fail. Only the first and last rows of what
    # a look reads can do that, so try the first and the last 1,000 of each table.
    tasks = Task.objects.using(using).active().exclude(next_run=None)
    queued = QueuedRun.objects.using(using).all()
    processes = Process.objects.using(using).all()
    paused = Task.objects.using(using).exclude(paused_until=None)
    queues = Queue.objects.using(using).exclude(paused_until=None)

    def break_task(pk: int) -> None:
        why = "The stored next_run cannot be read. Resume the task to compute it again."
        set_broken(using, pk, why)

    def stay_paused(rows: QuerySet[Any], pk: int) -> None:
        rows.filter(pk=pk).update(paused_until=None)

    def fail_run(entry: tuple[int, int]) -> None:
        _, pk = entry
        this = Run.objects.using(using).filter(pk=pk)
        reject_unreadable(this, "The stored ready_at cannot be read. Retry the run.", now)

    def forget_process(pk: int) -> None:
        processes.filter(pk=pk).delete()

    return (
        _reject_rows(tasks, "next_run", break_task)
        + _reject_rows(queued, "ready_at", fail_run)
        + _reject_rows(processes, "lease_until", forget_process)
        + _reject_rows(paused, "paused_until", partial(stay_paused, paused))
        + _reject_rows(queues, "paused_until", partial(stay_paused, queues))
    )


def _reject_rows(rows: QuerySet[Any], column: str, reject: Callable[[Any], None]) -> int:
    """Reject rows whose ``column`` cannot be read, among the first and the last in its order."""
    count = 0
    for order in (column, f"-{column}"):
        for pk in list(rows.order_by(order).values_list("pk", flat=True)[:UNREADABLE_BATCH]):
            if not _is_readable(rows.filter(pk=pk), column):
                logger.error("Cannot read the %s of %s %s", column, rows.model.__name__, pk)
                reject(pk)
                count += 1
    return count


def _is_readable(row: QuerySet[Any], column: str) -> bool:
    def read() -> bool:
        list(row.values_list(column))
        return True

    return isolating(read, lambda error: False)
