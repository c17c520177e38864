"""Which of a task's occurrences run, and which are recorded as missed; pure."""

import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sisy.models import Missed, Task
from sisy.models.timing import PUNCTUAL, RESOLUTION, Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Occurrences that are not run: ``count`` of them, from ``first`` to ``last``."""

    first: datetime
    last: datetime
    count: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of a task whose moment has come.

    Attributes:
        due: the due moments to run, oldest first.
        gap: the ones that are not, if any.
        mark: the newest due moment that is settled by this plan.
        next_run: the due moment after that; None when none is left.
    """

    due: tuple[datetime, ...]
    gap: Gap | None
    mark: datetime
    next_run: datetime | None


class Planner:
    """Settles what is due at one moment; for tasks that are due alike, once for all of them.

    Args:
        missed_limit: how many missed occurrences are run of a task that wants all of them.
    """

    def __init__(self, now: datetime, missed_limit: int) -> None:
        self._now = now
        self._missed_limit = missed_limit
        self._plans: dict[tuple[Any, ...], Plan] = {}

    def plan(self, task: Task) -> Plan:
        """Return what becomes of ``task``, as `plan` does."""
        if task.iterations is not None:
            return plan(task, self._now, self._missed_limit)
        alike = (
            task.schedule,
            task.timezone,
            task.label if "h" in task.schedule.lower() else None,
            task.start_running,
            task.end_running,
            task.next_run,
            task.missed,
            task.missed_window,
        )
        known = self._plans.get(alike)
        if known is None:
            known = self._plans[alike] = plan(task, self._now, self._missed_limit)
        return known


def plan(task: Task, now: datetime, missed_limit: int) -> Plan:
    """Settle every occurrence of ``task`` from its ``next_run`` to ``now``.

    Raises:
        ScheduleError: the task's schedule or time zone cannot be used.
    """
    assert task.next_run is not None
    timing = Timing.of(task)
    fresh_from = _fresh_from(task, now)
    fresh = _between(timing, max(task.next_run, fresh_from), task.next_run, now)
    missed_runs, gap = _catch_up(task, timing, fresh_from, now, missed_limit)
    due = (*missed_runs, *fresh)
    mark = due[-1] if due else gap.last if gap else task.next_run
    next_run = timing.next_after(mark)
    if task.iterations is not None:
        left = max(0, task.iterations - task.runs_planned)
        if left <= len(due):
            due, next_run = due[:left], None
            mark = due[-1] if due else mark
    return Plan(due=due, gap=gap, mark=mark, next_run=next_run)


def _fresh_from(task: Task, now: datetime) -> datetime:
    """Return the moment from which on occurrences were not missed.

    Of a task that only its latest one runs after an outage, all that the outage left are missed.
    """
    fresh_from = now - PUNCTUAL
    assert task.next_run is not None
    if task.missed == Missed.LATEST and task.next_run < fresh_from:
        return now + RESOLUTION
    return fresh_from


def _between(
    timing: Timing, start: datetime, first: datetime, end: datetime
) -> tuple[datetime, ...]:
    """Return the occurrences from ``start`` to ``end``, of which ``first`` is known to be one."""
    due = first if first >= start else timing.next_after(start - RESOLUTION)
    found = []
    while due is not None and due <= end:
        found.append(due)
        due = timing.next_after(due)
    return tuple(found)


def _catch_up(
    task: Task, timing: Timing, fresh_from: datetime, now: datetime, limit: int
) -> tuple[tuple[datetime, ...], Gap | None]:
    """Divide what fell due before ``fresh_from`` into what still runs, and what is missed."""
    first = task.next_run
    assert first is not None
    if first >= fresh_from:
        return (), None
    last = max(first, timing.last_until(fresh_from - RESOLUTION) or first)
    wanted = {Missed.SKIP: 0, Missed.LATEST: 1, Missed.ALL: limit}[Missed(task.missed)]
    oldest = first
    if task.missed_window is not None:
        oldest = max(first, now - max(task.missed_window, PUNCTUAL))
    runs: list[datetime] = []
    due: datetime | None = last
    while due is not None and due >= oldest and len(runs) < wanted:
        runs.append(due)
        due = timing.last_until(due - RESOLUTION) if due > first else None
        if due is not None and due < first:
            due = first  # the first one need not be on the schedule: see wait_for_schedule
    if due is None:
        return tuple(reversed(runs)), None
    count = 1 + timing.schedule.count_between(first, due)
    return tuple(reversed(runs)), Gap(first=first, last=due, count=count, reason=_reason(task))


def _reason(task: Task) -> str:
    why = {
        Missed.LATEST: "only the latest one is run",
        Missed.ALL: "too old, or too many, to be caught up",
        Missed.SKIP: "missed ones are not run",
    }
    return f"No heartbeat was up when it fell due; {why[Missed(task.missed)]}."


def ready_at(task: Task, due: datetime, next_due: datetime | None) -> datetime:
    """Return when the run of an occurrence may start: later by a part of the task's spread.

    The part is always the same for the same occurrence, and never reaches the next one.
    """
    bound = task.spread if next_due is None else min(task.spread, next_due - due)
    part = zlib.crc32(f"{task.pk}:{due.isoformat()}".encode()) / 2**32
    return due + bound * part
