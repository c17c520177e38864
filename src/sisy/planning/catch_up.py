"""Decide which due occurrences of a task run, and which are missed. No database access."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sisy.lifecycle.miss import missed_row
from sisy.planning.timing import (
    ON_TIME_TOLERANCE,
    TICK,
    Timing,
    iterations_left,
    next_unplanned,
    ready_at,
)
from sisy.records.choices import Missed
from sisy.records.run import RunRecord
from sisy.records.task import TaskRecord
from sisy.schedules.calendar import just_before

# The heartbeat that finds a missed occurrence cannot tell the cause: perhaps no heartbeat was up,
# none reached the database, or a transaction had locked the task. So the reason says no more.
IN_TIME = "No heartbeat planned the task in time."
THEREFORE = {
    Missed.LATEST: "Only the most recent missed occurrence runs.",
    Missed.ALL: "The task's missed_window or SISY_MISSED_LIMIT excludes older occurrences.",
    Missed.SKIP: "The task does not catch up on missed occurrences.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Missed occurrences: ``count`` of them, from ``first`` to ``last``."""

    first: datetime
    last: datetime
    count: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan for a due task.

    Attributes:
        due: the due moments to run, oldest first.
        gap: the occurrences that are missed, if any.
        planned_until: the latest due moment that this plan covers.
        next_run: the due moment after that; None if none is left.
    """

    due: tuple[datetime, ...]
    gap: Gap | None
    planned_until: datetime
    next_run: datetime | None

    def rows(self, task: TaskRecord, now: datetime) -> Iterator[RunRecord]:
        """Yield the unsaved rows of the plan for a task, the gap first."""
        if self.gap is not None:
            gap = self.gap
            yield missed_row(task, gap.first, gap.last, gap.count, gap.reason, now)
        for due, following in zip(self.due, (*self.due[1:], self.next_run), strict=False):
            yield task.new_run(now=now, due_at=due, ready_at=ready_at(task, due, following))

    def limited_to(self, left: int | None) -> "Plan":
        """Return the plan for a task that has ``left`` runs left; None for no limit."""
        if left is None or left > len(self.due):
            return self
        due = self.due[:left]
        return replace(
            self, due=due, planned_until=due[-1] if due else self.planned_until, next_run=None
        )

    def until_last_is_due(self) -> "Plan":
        """Return the plan for a task that retires when its last occurrence falls due."""
        return self if self.next_run else replace(self, next_run=self.planned_until)


@dataclass(frozen=True, slots=True)
class Watch:
    """The moment at which a heartbeat plans, and how long it has been working.

    Attributes:
        missed_limit: the most missed occurrences to run for a task with ``missed="all"``.
        at_work_since: when the heartbeat last had nothing left to plan, or when it started. None
            if unknown.
    """

    now: datetime
    missed_limit: int
    # An occurrence that fell due after this moment was not missed: it waited for its turn.
    at_work_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class DueTask:
    """The values on which the plan of a due task depends; tasks with equal ones share a plan."""

    timing: Timing
    first: datetime
    missed: Missed
    missed_window: timedelta | None

    @classmethod
    def of(cls, task: TaskRecord, first: datetime) -> "DueTask":
        """Read the values from a task whose first occurrence without a row was due at ``first``.

        Raises:
            ScheduleError: the task's schedule or time zone is invalid.
        """
        return cls(Timing.of(task), first, Missed(task.missed), task.missed_window)


class Planner:
    """Makes the plans of one pass."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        # Many tasks share a schedule and fall due together, so each plan is computed once.
        self._plans: dict[DueTask, Plan] = {}

    def plan(self, task: TaskRecord) -> Plan:
        """Return the plan for a due task.

        Raises:
            ScheduleError: the task's schedule or time zone is invalid.
        """
        return self._plan(task, next_unplanned(task)).limited_to(iterations_left(task))

    def _plan(self, task: TaskRecord, first: datetime | None) -> Plan:
        if first is None or first > self._watch.now:
            # What has fallen due was planned ahead, as its last occurrence.
            assert task.planned_until is not None
            return Plan(due=(), gap=None, planned_until=task.planned_until, next_run=first)
        due_task = DueTask.of(task, first)
        known = self._plans.get(due_task)
        if known is None:
            known = self._plans[due_task] = _plan(due_task, self._watch)
        return known


class AheadPlanner:
    """Makes the plans of tasks that fall due soon.

    Args:
        until: the last moment for which to plan.
    """

    def __init__(self, until: datetime) -> None:
        self._until = until
        self._plans: dict[tuple[Timing, datetime], Plan] = {}

    def plan(self, task: TaskRecord) -> Plan | None:
        """Return the plan for a task that is not due yet; None if it has no iterations left.

        Raises:
            ScheduleError: the task's schedule or time zone is invalid.
        """
        assert task.next_run is not None
        key = Timing.of(task), task.next_run
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = _plan_ahead(*key, self._until)
        plan = plan.limited_to(iterations_left(task))
        return plan if plan.due else None


def _plan_ahead(timing: Timing, first: datetime, until: datetime) -> Plan:
    due = _between(timing, first, first, until)
    return Plan(due=due, gap=None, planned_until=due[-1], next_run=timing.next_after(due[-1]))


def _plan(due_task: DueTask, watch: Watch) -> Plan:
    fresh_from = _fresh_from(due_task, watch)
    return plan_from(due_task, fresh_from, watch.now, _reason(due_task), watch.missed_limit)


def plan_from(
    due_task: DueTask, fresh_from: datetime, until: datetime, reason: str, missed_limit: int = 0
) -> Plan:
    """Plan the occurrences from the first due one to ``until``.

    Args:
        fresh_from: occurrences before this moment are missed; the policy decides which still run.
        reason: why missed occurrences do not run.
        missed_limit: see `Watch`.
    """
    fresh = _between(due_task.timing, max(due_task.first, fresh_from), due_task.first, until)
    missed_runs, gap = _catch_up(due_task, fresh_from, until, reason, missed_limit)
    due = (*missed_runs, *fresh)
    planned_until = due[-1] if due else gap.last if gap else due_task.first
    return Plan(
        due=due,
        gap=gap,
        planned_until=planned_until,
        next_run=due_task.timing.next_after(planned_until),
    )


def _fresh_from(due_task: DueTask, watch: Watch) -> datetime:
    """Return the moment from which occurrences count as late, not as missed."""
    fresh_from = watch.now - ON_TIME_TOLERANCE
    if watch.at_work_since is not None and watch.at_work_since < fresh_from:
        behind = due_task.timing.schedule.count_between(watch.at_work_since, watch.now)
        # Without this limit, a system that cannot keep up would fall behind further and further.
        if behind <= watch.missed_limit:
            fresh_from = watch.at_work_since
    # With "latest", one run makes up for everything that is due, including the occurrence of just
    # now: otherwise two runs would start together after an outage.
    if due_task.missed == Missed.LATEST and due_task.first < fresh_from:
        return watch.now + TICK
    return fresh_from


def _between(
    timing: Timing, start: datetime, first: datetime, end: datetime
) -> tuple[datetime, ...]:
    """Return the occurrences from ``start`` to ``end``; ``first`` is known to be an occurrence."""
    due = first if first >= start else timing.next_after(just_before(start))
    found = []
    while due is not None and due <= end:
        found.append(due)
        due = timing.next_after(due)
    return tuple(found)


def _catch_up(
    due_task: DueTask, fresh_from: datetime, until: datetime, reason: str, missed_limit: int
) -> tuple[tuple[datetime, ...], Gap | None]:
    """Divide the occurrences before ``fresh_from`` into those that still run and those missed."""
    timing, first = due_task.timing, due_task.first
    if first >= fresh_from:
        return (), None
    last = max(first, timing.last_until(just_before(fresh_from)) or first)
    wanted = {Missed.SKIP: 0, Missed.LATEST: 1, Missed.ALL: missed_limit}[due_task.missed]
    oldest = first
    if due_task.missed_window is not None:
        oldest = max(first, until - max(due_task.missed_window, ON_TIME_TOLERANCE))
    runs: list[datetime] = []
    due: datetime | None = last
    while due is not None and due >= oldest and len(runs) < wanted:
        runs.append(due)
        due = timing.last_until(just_before(due)) if due > first else None
        # The first occurrence need not be on the schedule: see wait_for_schedule.
        if due is not None and due < first:
            due = first
    if due is None:
        return tuple(reversed(runs)), None
    count = 1 + timing.schedule.count_between(first, due)
    return tuple(reversed(runs)), Gap(first=first, last=due, count=count, reason=reason)


def is_caught_up(run: RunRecord) -> bool:
    """Return whether the occurrence of a run was missed when the run was planned."""
    planned_at, due_at = run.planned_at, run.due_at
    return due_at is not None and bool(planned_at - due_at > ON_TIME_TOLERANCE)


def _reason(due_task: DueTask) -> str:
    return f"{IN_TIME} {THEREFORE[due_task.missed]}"
