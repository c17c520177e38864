"""Settle overdue occurrences before a task is changed, paused or deleted.

Occurrences that were just due still run. Older ones were missed: a gap is one row, however many
occurrences it covers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q, QuerySet

from sisy.exceptions import ScheduleError
from sisy.lifecycle.submit import ring, store_occurrences
from sisy.planning.catch_up import DueTask, Gap, Plan, plan_from
from sisy.planning.replaced_timing import restore_timing
from sisy.planning.timing import (
    ON_TIME_TOLERANCE,
    TICK,
    Timing,
    first_due,
    iterations_left,
    next_unplanned,
)
from sisy.records.choices import Missed, TaskState
from sisy.records.run import RunRecord
from sisy.records.task import TaskRecord
from sisy.schedules.calendar import just_before
from sisy.store import locking
from sisy.store.bulk import Update, update_rows
from sisy.store.run_queries import rows_of

BATCH = 500


@dataclass(frozen=True, slots=True)
class Overdue:
    """The plan for the overdue occurrences of a task.

    Attributes:
        task: as it was when they fell due.
        still_owes_first: whether the task has yet to run once without waiting for its schedule.
    """

    task: TaskRecord
    plan: Plan
    still_owes_first: bool


def settle_overdue(
    using: str, tasks: QuerySet[TaskRecord], now: datetime, reason: str, *, for_good: bool = False
) -> None:
    """Plan occurrences of ``tasks`` that were just due, and record older ones as missed.

    Call it in the transaction that changes ``next_run``: no heartbeat plans these occurrences
    later. A task that has yet to run once without waiting for its schedule still does so
    afterwards.

    Args:
        reason: why older occurrences are missed.
        for_good: record all of them as missed, because the tasks are about to be deleted.
    """
    # Without a next_run, the first due moment is not computed yet.
    may_be_overdue = Q(next_run__lte=now) | Q(next_run=None)
    active = tasks.filter(may_be_overdue, state=TaskState.ACTIVE).values("pk")
    stored = tasks.model._base_manager.using(using)
    pks = locking.lock(stored.filter(pk__in=active))
    for start in range(0, len(pks), BATCH):
        batch = list(stored.filter(pk__in=pks[start : start + BATCH]))
        restore_timing(stored, batch, now)
        found = (_overdue(task, now, reason, for_good) for task in batch)
        _settle(using, [one for one in found if one is not None], now)


def _overdue(task: TaskRecord, now: datetime, reason: str, for_good: bool) -> Overdue | None:
    """Return the overdue occurrences, without the immediate first run if that is still to come."""
    still_owes_first = task.is_due_at_once and not for_good
    try:
        timing = Timing.of(task)
        since = min(task.planning_since or now, now)
        first = next_unplanned(task) if task.next_run else first_due(task, since)
    except ScheduleError:
        # It is unknown what was due after the first occurrence.
        first = None if still_owes_first else task.next_run
        if first is None or (task.planned_until and first <= task.planned_until):
            return None
        gap = Gap(first=first, last=first, count=1, reason=reason)
        return Overdue(task, Plan(due=(), gap=gap, planned_until=first, next_run=None), False)
    until = now
    if still_owes_first and first is not None:
        first, until = timing.next_after(first), just_before(now)
    if first is None or first > until:
        return None
    due_task = DueTask(timing, first, Missed.SKIP, None)
    fresh_from = until + TICK if for_good else now - ON_TIME_TOLERANCE
    plan = plan_from(due_task, fresh_from, until, reason)
    left = iterations_left(task)
    plan = plan.limited_to(left and left - still_owes_first)
    return Overdue(task, plan, still_owes_first) if plan.due or plan.gap else None


def _settle(using: str, overdue: Sequence[Overdue], now: datetime) -> None:
    if not overdue:
        return
    rows = [row for one in overdue for row in one.plan.rows(one.task, now)]
    queued, _ = store_occurrences(using, _not_in_ledger(using, rows))
    settled = Update(
        assign={
            "planned_until": [
                None if one.still_owes_first else one.plan.planned_until for one in overdue
            ],
            "last_run": [
                one.plan.due[-1] if one.plan.due else one.task.last_run for one in overdue
            ],
        },
        add={"runs_planned": [len(one.plan.due) for one in overdue]},
    )
    update_rows(using, type(overdue[0].task), [one.task.pk for one in overdue], settled)
    ring(queued, using)


def _not_in_ledger(using: str, rows: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the rows whose occurrences have no row yet. Some may, if the clock was set back."""
    stored = rows_of(type(rows[0]), using)
    known = set(
        stored.filter(
            task__in={row.task_id for row in rows}, due_at__in={row.due_at for row in rows}
        ).values_list("task", "due_at")
    )
    return [row for row in rows if (row.task_id, row.due_at) not in known]
