"""Settles occurrences that are overdue: some still run, a row says why the others do not.

A gap is one row, however many occurrences it holds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from django.db.models import Q, QuerySet

from sisy.exceptions import ScheduleError
from sisy.lifecycle.miss import missed_row
from sisy.lifecycle.submit import ring, store_occurrences
from sisy.planning.timing import ON_TIME_TOLERANCE, TICK, Timing, first_due, ready_at
from sisy.records.choices import TaskState
from sisy.schedules.calendar import just_before
from sisy.store import locking
from sisy.store.bulk import Update, update_rows

if TYPE_CHECKING:
    from sisy.models.run import Run
    from sisy.models.task import Task

BATCH = 500


@dataclass(frozen=True, slots=True)
class Overdue:
    """The occurrences of a task that are overdue.

    Attributes:
        task: as it was when they fell due.
        runs: the due moments that still run, oldest first.
        missed: the first, the last and the number of those that do not.
        still_owes: whether the task still owes its first run, which waits for no schedule.
    """

    task: "Task"
    runs: tuple[datetime, ...] = ()
    missed: tuple[datetime, datetime, int] | None = None
    still_owes: bool = False

    @property
    def planned_until(self) -> datetime | None:
        """Return the task's ``planned_until`` once they are settled."""
        if self.still_owes:
            return None
        return (
            self.runs[-1]
            if self.runs
            else self.missed[1]
            if self.missed
            else self.task.planned_until
        )


def settle_overdue(
    using: str, tasks: "QuerySet[Task]", now: datetime, reason: str, *, for_good: bool = False
) -> None:
    """Plan what has fallen due of ``tasks`` just now, and record as missed what is older.

    Call it in the transaction that takes their next occurrence from them: no heartbeat will plan
    it any more. What a task owes as soon as it is active, it still owes after that.

    Args:
        reason: why older occurrences are missed.
        for_good: whether the tasks are about to be deleted: then nothing of theirs runs any more.
    """
    may_be_overdue = Q(next_run__lte=now) | Q(next_run=None)  # of the latter, it is to be computed
    active = tasks.filter(may_be_overdue, state=TaskState.ACTIVE).values("pk")
    stored = tasks.model._base_manager.using(using)
    pks = locking.lock(stored.filter(pk__in=active))
    for start in range(0, len(pks), BATCH):
        batch = stored.filter(pk__in=pks[start : start + BATCH])
        found = (_overdue_of(task, now, for_good) for task in batch)
        _settle(using, [one for one in found if one.runs or one.missed], now, reason)


def _settle(using: str, overdue: Sequence[Overdue], now: datetime, reason: str) -> None:
    if not overdue:
        return
    gaps = [missed_row(one.task, *one.missed, reason, now) for one in overdue if one.missed]
    store_occurrences(using, _not_in_ledger(using, gaps))
    runs = _not_in_ledger(using, [run for one in overdue for run in _runs_of(one, now)])
    queued, _ = store_occurrences(using, runs)
    settled = Update(
        assign={
            "planned_until": [one.planned_until for one in overdue],
            "last_run": [one.runs[-1] if one.runs else one.task.last_run for one in overdue],
        },
        add={"runs_planned": [len(one.runs) for one in overdue]},
    )
    update_rows(using, type(overdue[0].task), [one.task.pk for one in overdue], settled)
    ring(queued, using)


def _runs_of(overdue: Overdue, now: datetime) -> "Iterator[Run]":
    task, timing = overdue.task, Timing.of(overdue.task) if overdue.runs else None
    for due in overdue.runs:
        assert timing is not None
        ready = ready_at(task, due, timing.next_after(due))
        yield task.new_run(now=now, due_at=due, ready_at=ready)


def _not_in_ledger(using: str, runs: "Sequence[Run]") -> "list[Run]":
    """Return those of ``runs`` whose occurrence has no row yet, as after a clock was set back."""
    if not runs:
        return []
    rows = (
        type(runs[0])
        .objects.using(using)
        .filter(task__in={run.task_id for run in runs}, due_at__in={run.due_at for run in runs})
    )
    known = set(rows.values_list("task", "due_at"))
    return [run for run in runs if (run.task_id, run.due_at) not in known]


def _overdue_of(task: "Task", now: datetime, for_good: bool) -> Overdue:
    """Return what is overdue; without the first one if the task still owes that."""
    still_owes = task.is_due_at_once and not for_good
    try:
        timing = Timing.of(task)
        first = task.next_run or first_due(task, min(task.planning_since or now, now))
    except ScheduleError:
        # Nobody can tell what it would have been due after the first one.
        first = None if still_owes else task.next_run
        return Overdue(task, missed=(first, first, 1) if first else None, still_owes=still_owes)
    until = now
    if still_owes and first is not None:
        first, until = timing.next_after(first), just_before(now)
    if first is None or first > until:
        return Overdue(task, still_owes=still_owes)
    fresh_from = until + TICK if for_good else now - ON_TIME_TOLERANCE
    fresh = timing.between(just_before(max(first, fresh_from)), until)
    runs = (first, *fresh) if first >= fresh_from else tuple(fresh)
    runs = tuple(dict.fromkeys(runs))  # the first one need not be on the schedule
    if task.iterations is not None:
        runs = runs[: max(0, task.iterations - task.runs_planned - still_owes)]
    return Overdue(task, runs, _missed(timing, first, fresh_from), still_owes)


def _missed(
    timing: Timing, first: datetime, fresh_from: datetime
) -> tuple[datetime, datetime, int] | None:
    if first >= fresh_from:
        return None
    last = max(first, timing.last_until(just_before(fresh_from)) or first)
    return first, last, 1 + timing.schedule.count_between(first, last)
