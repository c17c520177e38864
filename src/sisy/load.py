"""The upcoming load: how many runs start when, and how many slots they need."""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sisy.exceptions import ScheduleError
from sisy.schedules import Schedule
from sisy.schedules.calendar import just_before

MAX_MOMENTS_LISTED = (
    200  # due moments of a schedule that are listed; of more, each cell's are counted
)
MAX_MOMENTS_NAMED = 10
CANDIDATES = 40
MAX_EXPRESSIONS_NAMED = 3
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Tasks that are due at the same moments.

    Args:
        key: what ``h`` is hashed by.
        number: how many tasks they are; a fraction where only some of many were looked at.
        takes: how long a run of theirs usually takes.
        start: before which they are not due; None if there is no such moment.
        end: from which on they are not due; None if there is no such moment.
    """

    expression: str
    timezone: str
    key: str = ""
    number: float = 1.0
    takes: timedelta = timedelta(0)
    start: datetime | None = None
    end: datetime | None = None

    def within(self, start: datetime, end: datetime) -> tuple[datetime, datetime]:
        """Return the part of a range, from ``start`` to before ``end``, in which they are due."""
        start = max(start, self.start or start)
        return start, max(start, min(end, self.end or end))

    def schedule(self) -> Schedule | None:
        try:
            return Schedule(self.expression, self.timezone, key=self.key)
        except ScheduleError:
            return None


@dataclass(slots=True, kw_only=True)
class Cell:
    """A while, how many runs begin in it, and how many slots are taken on average."""

    start: datetime
    starts: float = 0.0
    busy: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A second in which many runs begin, and the schedules of most of them."""

    due: datetime
    number: float
    expressions: Sequence[tuple[str, float]]


def cells(groups: Iterable[Group], start: datetime, width: timedelta, count: int) -> list[Cell]:
    """Return ``count`` cells of a width, from ``start`` on."""
    found = [Cell(start=start + n * width) for n in range(count)]
    for group in groups:
        schedule = group.schedule()
        if schedule is None:
            continue
        for place, times in _due_in_cells(group, schedule, start, width, count):
            found[place].starts += group.number * times
            _take_slots(found, place, group.number * times, group.takes / width)
    return found


def _due_in_cells(
    group: Group, schedule: Schedule, start: datetime, width: timedelta, count: int
) -> Iterable[tuple[int, int]]:
    first, end = group.within(start, start + count * width)
    if schedule.count_between(just_before(first), just_before(end)) <= MAX_MOMENTS_LISTED:
        for due in schedule.between(just_before(first), just_before(end)):
            yield int((due - start) / width), 1
        return
    for place in range(count):
        first, end = group.within(start + place * width, start + (place + 1) * width)
        if times := schedule.count_between(just_before(first), just_before(end)):
            yield place, times


def _take_slots(found: Sequence[Cell], place: int, runs: float, widths: float) -> None:
    """Spread the time that runs take over the cells in which they go on."""
    while widths > 0 and place < len(found):
        part = min(1.0, widths)
        found[place].busy += runs * part
        widths -= part
        place += 1


def fullest(groups: Sequence[Group], start: datetime, end: datetime) -> list[Moment]:
    """Return the seconds in which most runs begin, at least two, the fullest first."""
    often: list[tuple[Group, Schedule]] = []
    due_at: Counter[datetime] = Counter()
    by: dict[datetime, Counter[str]] = {}
    for group in groups:
        schedule = group.schedule()
        if schedule is None:
            continue
        first, last = map(just_before, group.within(start, end))
        if schedule.count_between(first, last) > MAX_MOMENTS_LISTED:
            often.append((group, schedule))
            continue
        for due in schedule.between(first, last):
            _add(due_at, by, due, group)
    for due in [*heapq.nlargest(CANDIDATES, due_at, key=due_at.__getitem__), *_hours(start, end)]:
        due_at.setdefault(due, 0)
    for due in heapq.nlargest(2 * CANDIDATES, due_at, key=due_at.__getitem__):
        for group, schedule in often:
            first, last = group.within(start, end)
            if first <= due < last and schedule.next_after(just_before(due)) == due:
                _add(due_at, by, due, group)
    return [
        Moment(due=due, number=due_at[due], expressions=by[due].most_common(MAX_EXPRESSIONS_NAMED))
        for due in heapq.nlargest(MAX_MOMENTS_NAMED, due_at, key=due_at.__getitem__)
        if due_at[due] > 1
    ]


def _add(
    due_at: "Counter[datetime]", by: "dict[datetime, Counter[str]]", due: datetime, group: Group
) -> None:
    due_at[due] += group.number  # type: ignore[assignment]  # a share of many tasks is none whole
    by.setdefault(due, Counter())[group.expression] += group.number  # type: ignore[assignment]


def _hours(start: datetime, end: datetime) -> Iterable[datetime]:
    hour = start.replace(minute=0, second=0, microsecond=0) + HOUR
    while hour < end:
        yield hour
        hour += HOUR
