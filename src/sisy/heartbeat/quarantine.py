"""Sets bad rows aside, so that they do not stop the others: see `sisy.store.isolation`."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from django.db.models import QuerySet

from sisy.lifecycle.reject import reject_unreadable
from sisy.models import Process, Run, Task, TaskState
from sisy.runtime.log import logger
from sisy.store.isolation import isolating

UNREADABLE_BATCH = 1000

T = TypeVar("T")


def or_set_aside(using: str, pk: int, step: Callable[[], T]) -> T | None:
    """Return what ``step`` does with one task; None if it fails: the task is then set aside.

    Raises:
        Exception: the database is away, which is not the task's fault.
    """

    def give_up(error: Exception) -> None:
        logger.exception("Cannot plan task %s; it is set aside as broken", pk)
        reason = (
            f"Could not plan the task: {type(error).__name__}. See the log for the full error."
        )
        set_aside(using, pk, reason)

    return isolating(step, give_up)


def one_by_one(using: str, pks: Iterable[int], step: Callable[[int], int]) -> int:
    """Return the sum of what ``step`` returns for each task of a chunk that failed as a whole.

    One of them may not even be readable: it is set aside.

    Raises:
        Exception: as for `or_set_aside`.
    """
    return sum(or_set_aside(using, pk, partial(step, pk)) or 0 for pk in pks)


def set_aside(using: str, pk: int, reason: str) -> None:
    """Mark a task as broken; it is planned again once its timing is mended."""
    Task.objects.using(using).filter(pk=pk).update(
        state=TaskState.BROKEN, state_reason=reason[:500], next_run=None
    )


def set_unreadable_aside(using: str, now: datetime) -> int:
    """Set aside the rows whose own moments cannot be read, and return how many they were.

    Such a row makes every look at the next due moment fail. Only rows at the ends of what a look
    sees can do that, so the first and the last 1,000 of each table are tried.

    A task is marked as broken, a run as failed, and a process has to sign on again: its runs,
    which nobody holds then, are rescued at the next beat.
    """
    tasks = Task.objects.using(using).active().exclude(next_run=None)
    runs = Run.objects.using(using).queued()
    processes = Process.objects.using(using).all()

    def break_task(pk: int) -> None:
        set_aside(using, pk, "Its next_run is not a valid moment.")

    def fail_run(pk: int) -> None:
        this = Run.objects.using(using).filter(pk=pk)
        reject_unreadable(this, "Its ready_at is not a valid moment.", now)

    def forget_process(pk: int) -> None:
        processes.filter(pk=pk).delete()

    return (
        _cure_unreadable(tasks, "next_run", break_task)
        + _cure_unreadable(runs, "ready_at", fail_run)
        + _cure_unreadable(processes, "lease_until", forget_process)
    )


def _cure_unreadable(rows: QuerySet[Any], column: str, cure: Callable[[int], None]) -> int:
    """Cure the rows whose ``column`` cannot be read, of those that come first or last by it."""
    count = 0
    for order in (column, f"-{column}"):
        for pk in list(rows.order_by(order).values_list("pk", flat=True)[:UNREADABLE_BATCH]):
            if not _is_readable(rows.filter(pk=pk), column):
                logger.error("Cannot read the %s of %s %s", column, rows.model.__name__, pk)
                cure(pk)
                count += 1
    return count


def _is_readable(row: QuerySet[Any], column: str) -> bool:
    def read() -> bool:
        list(row.values_list(column))
        return True

    return isolating(read, lambda error: False)
