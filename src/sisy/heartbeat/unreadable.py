"""Sets rows aside whose own moments cannot be read: they would blind every look."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet, Value

from sisy import signals
from sisy.database_thread import database_is_away
from sisy.heartbeat.broken import set_aside
from sisy.log import logger
from sisy.models import Process, Run, RunState, Task
from sisy.models.fields import MomentField

BATCH = 1000


def set_unreadable_aside(using: str, now: datetime) -> int:
    """Set aside what a look could not read, and return how many rows that were.

    Only rows at the ends of what a look sees can have blinded it.

    A task is broken, a run has failed, and a process has to sign on again: its runs, which nobody
    holds then, are rescued at the next beat.
    """
    tasks = Task.objects.using(using).active().exclude(next_run=None)
    runs = Run.objects.using(using).waiting()
    processes = Process.objects.using(using).all()

    def fail(pk: int) -> None:
        reason = "When it may start cannot be read."
        moment = Value(now, MomentField())
        columns = {"ready_at": moment, "finished_at": moment, "reason": reason}
        with transaction.atomic(using=using):
            if runs.filter(pk=pk).update(state=RunState.FAILED, **columns):
                Run.objects.using(using).filter(pk=pk).tell(signals.run_rejected)

    return (
        _set_aside(
            tasks, "next_run", lambda pk: set_aside(using, pk, "Its next_run is no moment.")
        )
        + _set_aside(runs, "ready_at", fail)
        + _set_aside(processes, "lease_until", lambda pk: processes.filter(pk=pk).delete())
    )


def _set_aside(rows: QuerySet[Any], column: str, cure: Callable[[int], object]) -> int:
    """Cure the rows whose ``column`` cannot be read, of those that come first or last by it."""
    count = 0
    for order in (column, f"-{column}"):
        for pk in list(rows.order_by(order).values_list("pk", flat=True)[:BATCH]):
            if not _is_readable(rows.filter(pk=pk), column):
                logger.error("The %s of %s %s cannot be read", column, rows.model.__name__, pk)
                cure(pk)
                count += 1
    return count


def _is_readable(row: QuerySet[Any], column: str) -> bool:
    try:
        list(row.values_list(column))
    except Exception as error:
        if database_is_away(error):
            raise
        return False
    return True
