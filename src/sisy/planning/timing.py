"""The timing of a task: when it is due, by its schedule and its window."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Any

from django.db.models import CharField, F, TextField, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Cast, Coalesce, Concat

from sisy.exceptions import ScheduleError
from sisy.records.choices import TaskState
from sisy.records.task import TaskRecord
from sisy.records.task_fields import TIMING_FIELDS
from sisy.schedules import Schedule
from sisy.schedules.calendar import TICK as TICK
from sisy.schedules.calendar import just_before
from sisy.schedules.expression import is_hashed

ON_TIME_TOLERANCE = timedelta(seconds=5)
"""An occurrence that a heartbeat finds within this time is late, not missed."""

LOOKAHEAD = timedelta(seconds=2)
"""Occurrences are planned up to this time before they are due."""


TEXTS, WINDOW = ("schedule", "timezone"), ("start_running", "end_running")
"""The columns that decide when a task is due."""


def timing_columns(schedule: str) -> frozenset[str]:
    """Return the columns that decide when a task with this schedule is due."""
    # The values of ``h`` depend on the label.
    return TIMING_FIELDS | {"label"} if is_hashed(schedule) else TIMING_FIELDS


class _InUTC(Cast):
    """A moment as text."""

    # In PostgreSQL, the text depends on the time zone of the session, unless the zone is given.
    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        context["template"] = "(%(expressions)s AT TIME ZONE 'UTC')::%(db_type)s"
        return self.as_sql(compiler, connection, **context)


def fingerprint() -> Combinable:
    """Return an expression that combines the columns that decide when a task is due.

    A task stores it when it is planned. If the stored value differs, raw SQL has changed a column.
    """
    separator = Value("|", output_field=CharField())
    columns = [
        *(F(name) for name in TEXTS),
        *(
            Coalesce(_InUTC(name, TextField()), Value("", output_field=TextField()))
            for name in WINDOW
        ),
    ]
    spaced = [part for column in columns for part in (separator, column)]
    return Concat(*spaced, output_field=TextField())


def timing_in(fingerprint: str) -> dict[str, Any] | None:
    """Return the columns in a stored fingerprint; None if it is empty, or cannot be read."""
    _, *columns = fingerprint.split("|")
    if len(columns) != len(TEXTS) + len(WINDOW):
        return None
    texts, window = columns[: len(TEXTS)], columns[len(TEXTS) :]
    try:
        moments = [_moment_in(text) for text in window]
    except ValueError:
        return None  # the format of a date depends on the session
    return dict(zip((*TEXTS, *WINDOW), (*texts, *moments), strict=True))


def _moment_in(text: str) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


@dataclass(frozen=True, slots=True)
class Timing:
    """A schedule within a window, ``start`` ≤ due < ``end``. Either bound may be None.

    Tasks with equal timings are due at the same moments.
    """

    schedule: Schedule
    start: datetime | None
    end: datetime | None

    @classmethod
    def of(cls, task: TaskRecord) -> "Timing":
        """Return the timing of a task.

        Raises:
            ScheduleError: the task's schedule or time zone is invalid.
        """
        key = task.label if is_hashed(task.schedule) else ""
        return _timing(task.schedule, task.timezone, key, task.start_running, task.end_running)

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first due moment after ``moment``, or None if none is left."""
        if self.start is not None and moment < self.start:
            moment = just_before(self.start)
        return self._before_end(self.schedule.next_after(moment))

    def last_until(self, moment: datetime) -> datetime | None:
        """Return the last due moment at or before ``moment``, or None if there was none."""
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
        """Return the first due moment of a task that does not wait for its schedule."""
        return self._before_end(moment if self.start is None else max(moment, self.start))

    def _before_end(self, due: datetime | None) -> datetime | None:
        return None if due is None or (self.end is not None and due >= self.end) else due


# Many tasks may share a timing. The expensive computations are done once for all of them.
@lru_cache(maxsize=4096)
def _timing(
    expression: str, timezone: str, key: str, start: datetime | None, end: datetime | None
) -> Timing:
    return Timing(Schedule(expression, timezone, key=key), start, end)


@lru_cache(maxsize=4096)
def _next_after(timing: Timing, moment: datetime) -> datetime | None:
    return timing.next_after(moment)


def first_due(task: TaskRecord, now: datetime) -> datetime | None:
    """Return when a task with a new timing is next due, never before ``now``.

    Raises:
        ScheduleError: the task's schedule or time zone is invalid.
    """
    timing = Timing.of(task)
    if task.is_due_at_once:
        return timing.first_after_activation(now)
    # If the clock was set back, occurrences after now are planned already.
    return _next_after(timing, now if task.planned_until is None else max(now, task.planned_until))


def next_unplanned(task: TaskRecord) -> datetime | None:
    """Return when an active task is due for the first time without being planned; None if never.

    After its last occurrence was planned ahead, ``next_run`` still names that one. The task then
    retires at that moment, unless it has more occurrences by then.

    Raises:
        ScheduleError: the task's schedule or time zone is invalid.
    """
    due: datetime | None = task.next_run
    planned = task.planned_until
    if due is not None and planned is not None and due <= planned:
        return None if task.is_used_up else Timing.of(task).next_after(planned)
    return due


def ahead_until(task: TaskRecord, moment: datetime) -> datetime | None:
    """Return the last occurrence after ``moment`` that is planned ahead; None if there is none."""
    # A mark that is further ahead was left by a clock that was set back.
    planned: datetime | None = task.planned_until
    return planned if planned and moment < planned <= moment + LOOKAHEAD else None


def iterations_left(task: TaskRecord) -> int | None:
    """Return the number of iterations that a task has left, or None if it has no limit."""
    return None if task.iterations is None else max(0, task.iterations - task.runs_planned)


def occurrences(
    task: TaskRecord, after: datetime, until: datetime | None = None
) -> Iterator[datetime]:
    """Yield the due moments of ``task`` after a moment, in order.

    All forecasts use this function. A task that is not active or has no schedule is never due. One
    that is paused until a moment is due from then on.
    Iterations are respected: occurrences before ``after`` use some of them up.

    Args:
        until: the last moment to consider; None for no end. With it, many moments are found much
            faster.
    """
    if task.state == TaskState.PAUSED and task.paused_until is not None:
        after = max(after, just_before(task.paused_until))
    elif task.state != TaskState.ACTIVE:
        return
    if not task.schedule:
        return
    try:
        timing = Timing.of(task)
    except ScheduleError:
        return
    left = iterations_left(task)
    # What was planned ahead is still to come, and has used up its iterations.
    if planned := ahead_until(task, after):
        yield from timing.between(after, planned if until is None else min(planned, until))
    due = timing.next_after(after) if task.next_run is None else next_unplanned(task)
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


def ready_at(task: TaskRecord, due: datetime, next_due: datetime | None) -> datetime:
    """Return when the run of an occurrence may start: delayed by a part of the task's ``spread``.

    The delay is fixed for each occurrence, and always ends before the next one.
    """
    bound = task.spread if next_due is None else min(task.spread, next_due - due)
    part = zlib.crc32(f"{task.pk}:{due.isoformat()}".encode()) / 2**32
    return due + bound * part
