"""Rows for occurrences that are not run: one for all of a gap, with the reason."""

from datetime import datetime
from typing import TYPE_CHECKING, cast

from django.db.models import Q, QuerySet

from sisy.exceptions import ScheduleError
from sisy.models import locking
from sisy.models.choices import RunState, TaskState
from sisy.models.run import Run
from sisy.models.timing import Timing, first_due

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
    may_be_overdue = Q(next_run__lte=now) | Q(next_run=None)  # of the latter, it is to be computed
    active = tasks.filter(may_be_overdue, state=TaskState.ACTIVE).values("pk")
    stored = tasks.model._base_manager.using(using)
    found = stored.filter(pk__in=locking.lock(stored.filter(pk__in=active)))
    rows = [row for task in found if (row := _overdue_row(task, now, reason)) is not None]
    Run.objects.using(using).bulk_create(rows, ignore_conflicts=True)
    for row in rows:
        stored.filter(pk=cast("int", row.task_id)).update(mark=row.due_until)


def _overdue_row(task: "Task", now: datetime, reason: str) -> Run | None:
    if task.mark is None and not task.wait_for_schedule:
        return None  # it is due at once whenever it is planned anew: nothing is lost
    try:
        first = task.next_run or first_due(task, min(task.planned_from or now, now))
        if first is None or first > now:
            return None
        timing = Timing.of(task)
        last = max(first, timing.last_until(now) or first)
        count = 1 + timing.schedule.count_between(first, last)
    except ScheduleError:
        # Nobody can tell what it would have been due after that.
        return task.next_run and missed_row(task, task.next_run, task.next_run, 1, reason, now)
    return missed_row(task, first, last, count, reason, now)
