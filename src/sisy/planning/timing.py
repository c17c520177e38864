"""The timing of a task: its schedule between its start and end dates."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.db.models import CharField, F, TextField, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Coalesce, Concat

from sisy.exceptions import ScheduleError
from sisy.records.choices import TaskState
from sisy.schedules import Schedule
from sisy.schedules.calendar import TICK as TICK
from sisy.schedules.calendar import just_before
from sisy.schedules.expression import is_hashed

if TYPE_CHECKING:
    from sisy.models.task import Task

ON_TIME_TOLERANCE = timedelta(seconds=5)
"""An occurrence found within this time was not missed: somebody was slow, not away."""


class _InUTC(Cast):
    """A moment as text; in PostgreSQL that depends on the session's zone, unless it is said."""

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        context["template"] = "(%(expressions)s AT TIME ZONE 'UTC')::%(db_type)s"
        return self.as_sql(compiler, connection, **context)


def fingerprint() -> Combinable:
    """Return what the database computes from the columns that decide when a task is due.

    Kept beside ``planned_until``, it shows whether raw SQL has changed one of them since.
    """
    separator = Value("|", output_field=CharField())
    columns = [
        F("schedule"),
        F("timezone"),
        *(
            Coalesce(_InUTC(name, TextField()), Value("", output_field=TextField()))
            for name in ("start_running", "end_running")
        ),
    ]
    spaced = [part for column in columns for part in (separator, column)]
    return Concat(*spaced, output_field=TextField())


@dataclass(frozen=True, slots=True)
class Timing:
    """A schedule within a window, ``start`` ≤ due < ``end``; either bound may be None.

    The timings of two tasks are equal if these are due alike.
    """

    schedule: Schedule
    start: datetime | None
    end: datetime | None

    @classmethod
    def of(cls, task: "Task") -> "Timing":
        """Return the timing of a task.

        Raises:
            ScheduleError: the task's schedule or time zone cannot be used.
        """
        key = task.label if is_hashed(task.schedule) else ""
        return _timing(task.schedule, task.timezone, key, task.start_running, task.end_running)

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first due moment strictly after ``moment``, or None when none is left."""
        if self.start is not None and moment < self.start:
            moment = just_before(self.start)
        return self._before_end(self.schedule.next_after(moment))

    def last_until(self, moment: datetime) -> datetime | None:
        """Return the newest due moment at or before ``moment``, or None when there was none."""
        if self.end is not None and moment >= self.end:
            moment = just_before(self.end)
        due = self.schedule.last_until(moment)
        return None if due is None or (self.start and due < self.start) else due

    def between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the due moments in ``after`` < due ≤ ``until``, in order."""
        if self.start is not None:
            after = max(after, just_before(self.start))
        if self.end is not None:
            until = min(until, just_before(self.end))
        return self.schedule.between(after, until)

    def first_after_activation(self, moment: datetime) -> datetime | None:
        """Return the moment at which a task that does not wait for its schedule is first due."""
        return self._before_end(moment if self.start is None else max(moment, self.start))

    def _before_end(self, due: datetime | None) -> datetime | None:
        return None if due is None or (self.end is not None and due >= self.end) else due


# Thousands of tasks may be due alike; what costs most is computed once for all of them.
@lru_cache(maxsize=4096)
def _timing(
    expression: str, timezone: str, key: str, start: datetime | None, end: datetime | None
) -> Timing:
    return Timing(Schedule(expression, timezone, key=key), start, end)


@lru_cache(maxsize=4096)
def _next_after(timing: Timing, moment: datetime) -> datetime | None:
    return timing.next_after(moment)


def first_due(task: "Task", now: datetime) -> datetime | None:
    """Return when a task whose timing is new falls due next, never in the past.

    What was planned ahead of ``now`` (the clock was set back) is not planned again.

    Raises:
        ScheduleError: the task's schedule or time zone cannot be used.
    """
    timing = Timing.of(task)
    if task.is_due_at_once:
        return timing.first_after_activation(now)
    return _next_after(timing, now if task.planned_until is None else max(now, task.planned_until))


def iterations_left(task: "Task") -> int | None:
    """Return how many iterations of a task are left; None if they are not limited."""
    return None if task.iterations is None else max(0, task.iterations - task.runs_planned)


def occurrences(
    task: "Task", after: datetime, until: datetime | None = None
) -> Iterator[datetime]:
    """Yield the due moments of ``task`` after a moment, in order.

    This is the one answer to "when next?". A task that is paused, broken, retired or has no
    schedule is not due. Of a limited number of iterations, only those are yielded that are left
    at that moment: earlier occurrences use some up.

    Args:
        until: the last moment that counts; None for no end. With it, many moments are found in a
            fraction of the time.
    """
    if task.state != TaskState.ACTIVE or not task.schedule:
        return
    try:
        timing = Timing.of(task)
    except ScheduleError:
        return
    left = iterations_left(task)
    due = task.next_run or timing.next_after(after)
    if due is not None and due <= after:
        if left is not None:
            left = max(0, left - timing.schedule.count_between(just_before(due), after))
        due = timing.next_after(after)
    if due is not None and (until is None or due <= until):
        yield from islice(_from(timing, due, until), left)


def _from(timing: Timing, due: datetime, until: datetime | None) -> Iterator[datetime]:
    yield due
    if until is not None:
        yield from timing.between(due, until)
        return
    later = timing.next_after(due)
    while later is not None:
        yield later
        later = timing.next_after(later)


def ready_at(task: "Task", due: datetime, next_due: datetime | None) -> datetime:
    """Return when the run of an occurrence may start: later by a part of the task's spread.

    The part is always the same for the same occurrence, and never reaches the next one.
    """
    bound = task.spread if next_due is None else min(task.spread, next_due - due)
    part = zlib.crc32(f"{task.pk}:{due.isoformat()}".encode()) / 2**32
    return due + bound * part
