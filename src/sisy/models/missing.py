"""Rows for occurrences that are not run: one for all of a gap, with the reason."""

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import QuerySet

from sisy.exceptions import ScheduleError
from sisy.models import locking
from sisy.models.choices import RunState, TaskState
from sisy.models.run import Run
from sisy.models.timing import Timing

if TYPE_CHECKING:
    from sisy.models.task import Task


def missed_row(
    task: "Task", first: datetime, last: datetime, count: int, reason: str, now: datetime
) -> Run:
    """Return an unsaved row for ``count`` occurrences, from ``first`` to ``last``."""
    return Run.of(
        task,
        now=now,
        state=RunState.MISSED,
        due_at=first,
        due_until=last,
        count=count,
        reason=reason,
        finished_at=now,
    )


def record_overdue(using: str, tasks: "QuerySet[Task]", now: datetime, reason: str) -> None:
    """Record what has fallen due of ``tasks`` and was not planned, since it never will be.

    Call it in the transaction that takes their next occurrence from them.
    """
    overdue = tasks.filter(state=TaskState.ACTIVE, next_run__lte=now).values("pk")
    these = tasks.model._base_manager.using(using).filter(pk__in=overdue)
    found = list(these.filter(pk__in=locking.lock(these)))
    rows = [_overdue_row(task, now, reason) for task in found]
    Run.objects.using(using).bulk_create(rows, ignore_conflicts=True)
    _advance(using, found, rows)


def _overdue_row(task: "Task", now: datetime, reason: str) -> Run:
    first = last = task.next_run
    count = 1
    try:
        timing = Timing.of(task)
        last = max(first, timing.last_until(now) or first)
        count += timing.schedule.count_between(first, last)
    except ScheduleError:
        pass  # nobody can tell what it would have been due after that
    return missed_row(task, first, last, count, reason, now)


def _advance(using: str, tasks: Iterable["Task"], rows: Iterable[Run]) -> None:
    for task, row in zip(tasks, rows, strict=True):
        type(task)._base_manager.using(using).filter(pk=task.pk).update(mark=row.due_until)
