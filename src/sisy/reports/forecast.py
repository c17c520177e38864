"""The occurrences of tasks in a range, with the usual durations of their runs.

Nothing is planned or written. Days to come are rehearsed as the tasks are now.
"""

import heapq
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice, repeat
from operator import itemgetter

from sisy.exceptions import ScheduleError
from sisy.models import Overlap, Task
from sisy.models.timing import Timing
from sisy.reports.coming import left_of
from sisy.schedules.calendar import just_before
from sisy.schedules.expression import is_hashed

MAX_MINUTES_NAMED = 10  # minutes that are named

MINUTE = timedelta(minutes=1)
LONG_AGO = datetime.min.replace(tzinfo=UTC)

Occurrence = tuple[datetime, Task]


@dataclass(slots=True, kw_only=True)
class OverlapForecast:
    """Occurrences of a task that would fall due while its run before them still goes on."""

    task: Task
    takes: timedelta
    count: int = 0
    first: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Forecast:
    """The summary of a range so far.

    Attributes:
        count: how many occurrences there are.
        overlaps: the tasks whose runs would meet though they must not overlap.
    """

    takes: dict[int, timedelta]
    count: int = 0
    overlaps: dict[int, OverlapForecast] = field(default_factory=dict)
    _minutes: list[datetime] = field(default_factory=list)
    _runs: list[int] = field(default_factory=list)
    _minute_ends_at: datetime = LONG_AGO
    _busy_until: dict[int, datetime] = field(default_factory=dict)

    def note(self, due: datetime, task: Task) -> None:
        """Count one occurrence; they come in the order of time."""
        self.count += 1
        if due >= self._minute_ends_at:
            minute = due - timedelta(seconds=due.second, microseconds=due.microsecond)
            self._minute_ends_at = minute + MINUTE
            self._minutes.append(minute)
            self._runs.append(0)
        self._runs[-1] += 1
        takes = self.takes.get(task.id)
        if takes is None or task.overlap == Overlap.ALLOW:
            return
        until = self._busy_until.get(task.id)
        if until is not None and due < until:
            met = self.overlaps.setdefault(task.id, OverlapForecast(task=task, takes=takes))
            met.count += 1
            met.first = met.first or due
            return  # it is skipped, or queued: what it would do to the next one is not known
        self._busy_until[task.id] = due + takes

    def by_minute(self) -> Iterable[tuple[datetime, int]]:
        """Return the minutes in which there are occurrences, in order, each with how many."""
        return zip(self._minutes, self._runs, strict=True)

    def busiest(self) -> list[tuple[datetime, int]]:
        """Return the minutes in which most occurrences fall due, the fullest first."""
        return heapq.nlargest(MAX_MINUTES_NAMED, self.by_minute(), key=itemgetter(1))


def occurrences_of(tasks: Sequence[Task], start: datetime, end: datetime) -> Iterator[Occurrence]:
    """Yield when ``tasks`` are due from ``start`` to before ``end``, in the order of time."""
    alike: dict[Hashable, list[Task]] = defaultdict(list)
    for task in tasks:
        alike[_due_alike(task)].append(task)
    groups = list(alike.values())
    several = (
        zip(_due(group[0], start, end), repeat(number)) for number, group in enumerate(groups)
    )
    for due, number in heapq.merge(*several):
        for task in groups[number]:
            yield due, task


def _due_alike(task: Task) -> Hashable:
    """Return what tasks share that are due at the same moments, so that these are found once."""
    if task.iterations is not None or is_hashed(task.schedule):
        return task.pk
    return task.schedule, task.timezone, task.start_running, task.end_running


def _due(task: Task, start: datetime, end: datetime) -> Iterator[datetime]:
    try:
        timing = Timing.of(task)
    except ScheduleError:
        return iter(())
    left = left_of(task)
    if left and task.next_run is not None and task.next_run < start:
        # What is due before the range uses up iterations, too.
        used = timing.schedule.count_between(just_before(task.next_run), just_before(start))
        left = max(0, left - used)
    return islice(timing.between(just_before(start), just_before(end)), left)
