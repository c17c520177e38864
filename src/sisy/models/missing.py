"""Rows for occurrences that are not run: one for all of a gap, with the reason."""

from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import Q, QuerySet

from sisy import signals
from sisy.exceptions import ScheduleError
from sisy.models import locking
from sisy.models.choices import RunState, TaskState
from sisy.models.run import Run
from sisy.models.timing import RESOLUTION, Timing, first_due

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


def record_overdue(
    using: str, tasks: "QuerySet[Task]", now: datetime, reason: str, *, for_good: bool = False
) -> None:
    """Record what has fallen due of ``tasks`` and was not planned, since it never will be.

    Call it in the transaction that takes their next occurrence from them. What a task owes as soon
    as it is active, it still owes after that, unless its end is ``for_good``.
    """
    may_be_overdue = Q(next_run__lte=now) | Q(next_run=None)  # of the latter, it is to be computed
    active = tasks.filter(may_be_overdue, state=TaskState.ACTIVE).values("pk")
    stored = tasks.model._base_manager.using(using)
    rows = []
    for task in stored.filter(pk__in=locking.lock(stored.filter(pk__in=active))):
        still_owes = task.is_due_at_once and not for_good
        row = _overdue_row(task, now, reason, still_owes)
        if row is not None:
            rows.append(row)
            if not still_owes:
                stored.filter(pk=task.pk).update(mark=row.due_until)
    Run.objects.using(using).bulk_create(rows, ignore_conflicts=True)
    Run.tell(signals.run_missed, rows, using)


def _overdue_row(task: "Task", now: datetime, reason: str, still_owes: bool) -> Run | None:
    """Return a row for what is overdue; without the first one if the task still owes that."""
    try:
        overdue = _overdue(task, now, still_owes)
    except ScheduleError:
        # Nobody can tell what it would have been due after the first one.
        first = None if still_owes else task.next_run
        overdue = first and (first, first, 1)
    return overdue and missed_row(task, *overdue, reason, now)


def _overdue(
    task: "Task", now: datetime, still_owes: bool
) -> tuple[datetime, datetime, int] | None:
    """Return the first, the last and the number of the occurrences that are overdue, if any."""
    timing = Timing.of(task)
    first = task.next_run or first_due(task, min(task.planned_from or now, now))
    until = now
    if still_owes and first is not None:
        first, until = timing.next_after(first), now - RESOLUTION
    if first is None or first > until:
        return None
    last = max(first, timing.last_until(until) or first)
    return first, last, 1 + timing.schedule.count_between(first, last)
