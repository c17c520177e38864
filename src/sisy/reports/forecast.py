"""Forecast what will run when, and which runs will probably overlap.

Nothing is planned or written. The forecast uses the tasks as they are now. For the due moments of
a single task, see `sisy.planning.timing.occurrences`; for the number of runs over time, see
`sisy.reports.load`.
"""

import heapq
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import accumulate, repeat, takewhile
from operator import attrgetter, itemgetter

from sisy.exceptions import ScheduleError
from sisy.models import Task, TaskState
from sisy.planning.timing import Timing, next_unplanned, occurrences
from sisy.reports.peaks import Work, add_work, longest_wait
from sisy.schedules.calendar import just_before

MAX_MINUTES_NAMED = 10

MINUTE = timedelta(minutes=1)
LONG_AGO = datetime.min.replace(tzinfo=UTC)

Occurrence = tuple[datetime, Task]


@dataclass(slots=True, kw_only=True)
class TaskForecast:
    """The occurrences of a task, and which of them will probably overlap the previous run.

    Attributes:
        takes: how long its runs usually take; None if unknown.
        number: how many occurrences there are so far.
        count: how many of them are due while the previous run is running.
        first: when the first of them is due.
        busy_until: when the previous run will probably have ended.
        may_overlap: whether the task's policy allows overlaps; if so, none are counted.
    """

    task: Task
    takes: timedelta | None
    number: int = 0
    count: int = 0
    first: datetime | None = None
    busy_until: datetime | None = None
    may_overlap: bool = field(init=False)

    def __post_init__(self) -> None:
        self.may_overlap = self.task.allow_overlap

    def note(self, due: datetime) -> bool:
        """Note the next occurrence, and return whether it will probably overlap the previous run.

        Returns False if the task's policy allows overlaps.
        """
        self.number += 1
        if self.takes is None or self.may_overlap:
            return False
        if self.busy_until is not None and due < self.busy_until:
            self.count += 1
            self.first = self.first or due
            # Its run is skipped or stays queued, so its effect on the next one is not known.
            return True
        self.busy_until = due + self.takes
        return False


@dataclass(slots=True, kw_only=True)
class Forecast:
    """The summary of a range so far.

    Attributes:
        takes: how long runs usually take, by the key of their task.
        slots: how many slots there are for each queue.
        count: how many occurrences there are.
    """

    takes: dict[int, timedelta]
    slots: Mapping[str, int] = field(default_factory=dict)
    count: int = 0
    _second: datetime = LONG_AGO
    _work: dict[str, Work] = field(default_factory=dict)
    _waits: dict[datetime, timedelta] = field(default_factory=dict)
    _tasks: dict[int, TaskForecast] = field(default_factory=dict)
    _minutes: list[datetime] = field(default_factory=list)
    _runs: list[int] = field(default_factory=list)
    _minute_ends_at: datetime = LONG_AGO

    def note(self, due: datetime, task: Task) -> None:
        """Count one occurrence. Call it in chronological order."""
        self.count += 1
        if due != self._second:
            self._end_second()
            self._second = due
        if not task.spread:
            takes = self.takes.get(task.id, timedelta(0))
            add_work(self._work, task.queue, task.engine, 1, takes)
        if due >= self._minute_ends_at:
            minute = due - timedelta(seconds=due.second, microseconds=due.microsecond)
            self._minute_ends_at = minute + MINUTE
            self._minutes.append(minute)
            self._runs.append(0)
        self._runs[-1] += 1
        if (of_task := self._tasks.get(task.id)) is None:
            of_task = TaskForecast(task=task, takes=self.takes.get(task.id))
            self._tasks[task.id] = of_task
        of_task.note(due)

    def overlaps(self) -> list[TaskForecast]:
        """Return the tasks whose runs will probably overlap although their policy forbids it."""
        met = (one for one in self._tasks.values() if one.first is not None)
        return sorted(met, key=lambda one: one.first or LONG_AGO)

    def split(self, limit: int) -> tuple[list[Task], list[TaskForecast]]:
        """Return the tasks that are seldom due, and the others, the most seldom due first.

        Args:
            limit: how many occurrences the first ones have in all, at most.
        """
        by_number = sorted(self._tasks.values(), key=attrgetter("number"))
        total = accumulate(one.number for one in by_number)
        seldom = sum(1 for _ in takewhile(lambda so_far: so_far <= limit, total))
        return [one.task for one in by_number[:seldom]], by_number[seldom:]

    def by_minute(self) -> Iterable[tuple[datetime, int]]:
        """Return each minute with occurrences, in order, and their number."""
        return zip(self._minutes, self._runs, strict=True)

    def longest_waits(self) -> dict[datetime, timedelta]:
        """Return how long the last run of a second in a minute probably waits for a slot.

        Minutes in which no run waits for long are left out.
        """
        self._end_second()
        return self._waits

    def _end_second(self) -> None:
        """Note how long the last run of this second probably waits."""
        wait = longest_wait(self._work, self.slots)
        if wait is not None:
            minute = self._minutes[-1]
            self._waits[minute] = max(wait.time, self._waits.get(minute, wait.time))
        self._work = {}

    def busiest(self) -> list[tuple[datetime, int]]:
        """Return the minutes with the most occurrences, the busiest first."""
        return heapq.nlargest(MAX_MINUTES_NAMED, self.by_minute(), key=itemgetter(1))


def occurrences_of(tasks: Sequence[Task], start: datetime, end: datetime) -> Iterator[Occurrence]:
    """Yield the occurrences of ``tasks`` in ``start`` ≤ due < ``end``, in chronological order."""
    alike: dict[Hashable, list[Task]] = defaultdict(list)
    for task in tasks:
        if (key := _due_alike(task)) is not None:
            alike[key].append(task)
    groups = list(alike.values())
    several = (
        zip(_due(group[0], start, end), repeat(number)) for number, group in enumerate(groups)
    )
    for due, number in heapq.merge(*several):
        for task in groups[number]:
            yield due, task


def _due_alike(task: Task) -> Hashable:
    """Return a key that is equal for tasks with the same due moments; None if it is never due.

    The moments of such tasks are computed once.
    """
    if task.state != TaskState.ACTIVE or task.runs_once:
        return None
    try:
        timing = Timing.of(task)
    except ScheduleError:
        return None
    return timing, task.next_run, None if task.iterations is None else task.pk


def _due(task: Task, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the due moments of ``task`` in a range, which may begin before its next run.

    Earlier occurrences are planned already; the current schedule says when they were.
    """
    after, until = just_before(start), just_before(end)
    if task.next_run is not None:
        unplanned = next_unplanned(task)
        planned = task.next_run if unplanned is None else just_before(unplanned)
        if after < planned:
            yield from Timing.of(task).between(after, min(until, planned))
            after = planned
    yield from occurrences(task, after, until)
