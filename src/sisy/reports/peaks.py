"""The busiest moments ahead: which tasks are due together, and how long the last run waits."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from math import ceil

from django.utils.translation import ngettext

from sisy import conf
from sisy.models import Process
from sisy.reports.load import MAX_MOMENTS_LISTED, NO_TIME, DueGroup
from sisy.reports.spreading import can_be_spread
from sisy.runtime.durations import duration_text
from sisy.schedules import Schedule
from sisy.schedules.calendar import just_before

MAX_MOMENTS_NAMED = 10
CANDIDATES = 40
MAX_TASKS_NAMED = 3  # tasks of a moment, each of another schedule

SHORTEST_WAIT = timedelta(seconds=10)  # that is worth mentioning
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Work:
    """Runs of a queue that are due at the same moment.

    Attributes:
        takes: how long all of them usually take together.
    """

    number: float = 0.0
    takes: timedelta = NO_TIME

    def plus(self, number: float, each: timedelta) -> "Work":
        """Return the work together with more runs, which take ``each``."""
        return Work(self.number + number, self.takes + number * each)

    def wait(self, slots: int) -> timedelta:
        """Return after which time the last run finds a slot, if all slots are free before."""
        rounds = (ceil(self.number) - 1) // slots
        return rounds * self.takes / self.number


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The time until the last run of a moment starts, in a queue, and the number of its slots."""

    queue: str
    slots: int
    time: timedelta

    def __str__(self) -> str:
        # Rounded to minutes, because it is an estimate.
        minutes = round(self.time / MINUTE)
        time = (
            timedelta(minutes=minutes)
            if minutes > 1
            else timedelta(seconds=round(self.time / SECOND))
        )
        words = ngettext(
            "about %(time)s until the last one starts, with %(slots)d slot",
            "about %(time)s until the last one starts, with %(slots)d slots",
            self.slots,
        )
        return words % {"time": duration_text(time), "slots": self.slots}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A second in which many runs start, and most of their tasks.

    Attributes:
        tasks: the labels of tasks, the most seldom due first, each with the number of further
            tasks with its schedule.
        work: the runs by their queue.
        again: other seconds in which the same tasks start, in their order.
        more: the number of runs of other tasks.
        is_spreadable: whether some of the tasks can be spread.
    """

    due: datetime
    number: float
    tasks: Sequence[tuple[str, int]]
    work: Mapping[str, Work]
    again: Sequence[datetime] = ()
    more: int = 0
    is_spreadable: bool = False

    def exceeds(self, slots: Mapping[str, int]) -> bool:
        """Return whether more runs start than the workers have slots for, by queue.

        The slots of runs that other engines execute are unknown, so several of these do.
        """
        elsewhere = self.number - sum(each.number for each in self.work.values())
        return round(elsewhere) > 1 or any(
            round(each.number) > slots.get(queue, 0) for queue, each in self.work.items()
        )


def busiest(groups: Sequence[DueGroup], start: datetime, end: datetime) -> list[Moment]:
    """Return the seconds in which most runs start, if two or more do, the busiest first.

    Of several seconds in which the same tasks start, it returns the first one, with the others.
    Tasks with a spread are left out: their runs do not start in the same second.
    """
    often: list[tuple[int, Schedule]] = []
    due_at: Counter[datetime] = Counter()
    by: dict[datetime, Counter[int]] = {}
    times: dict[int, int] = {}
    for place, group in enumerate(groups):
        schedule = None if group.spread else group.schedule()
        if schedule is None:
            continue
        first, last = map(just_before, group.within(start, end))
        times[place] = schedule.count_between(first, last)
        if times[place] > MAX_MOMENTS_LISTED:
            often.append((place, schedule))
            continue
        for due in schedule.between(first, last):
            _add(due_at, by, due, place, group.number)
    for due in [*heapq.nlargest(CANDIDATES, due_at, key=due_at.__getitem__), *_hours(start, end)]:
        due_at.setdefault(due, 0)
    for due in heapq.nlargest(2 * CANDIDATES, due_at, key=due_at.__getitem__):
        for place, schedule in often:
            first, last = groups[place].within(start, end)
            if first <= due < last and schedule.next_after(just_before(due)) == due:
                _add(due_at, by, due, place, groups[place].number)
    found = heapq.nlargest(2 * CANDIDATES, due_at, key=due_at.__getitem__)
    return _moments(groups, {due: by[due] for due in found if due_at[due] > 1}, due_at, times)


def _moments(
    groups: Sequence[DueGroup],
    by: "Mapping[datetime, Counter[int]]",
    due_at: Mapping[datetime, float],
    times: Mapping[int, int],
) -> list[Moment]:
    """Return seconds in the order in which they are given, those with the same tasks as one.

    Args:
        times: how often each group is due in the range.
    """
    alike: dict[Hashable, list[datetime]] = defaultdict(list)
    for due, places in by.items():
        alike[frozenset(places.items())].append(due)
    return [
        _moment(groups, due, again, by[due], due_at[due], times)
        for due, *again in islice(map(sorted, alike.values()), MAX_MOMENTS_NAMED)
    ]


def _moment(
    groups: Sequence[DueGroup],
    due: datetime,
    again: Sequence[datetime],
    numbers: "Counter[int]",
    number: float,
    times: Mapping[int, int],
) -> Moment:
    # What is due all the time is due at every busy moment. What is seldom due tells them apart.
    places = sorted(numbers, key=lambda place: (times[place], -numbers[place], groups[place].key))
    tasks = [
        (groups[place].key, max(0, round(numbers[place]) - 1))
        for place in places[:MAX_TASKS_NAMED]
    ]
    return Moment(
        due=due,
        number=number,
        tasks=tasks,
        more=max(0, round(number) - sum(1 + more for _, more in tasks)),
        work=_work((groups[place], numbers[place]) for place in places),
        again=again,
        is_spreadable=any(can_be_spread(groups[place].task(due)) for place in places),
    )


def _work(members: Iterable[tuple[DueGroup, float]]) -> dict[str, Work]:
    work: dict[str, Work] = {}
    for group, number in members:
        add_work(work, group.queue, group.engine, number, group.takes)
    return work


def add_work(
    work: dict[str, Work], queue: str, engine: str, number: float, each: timedelta
) -> None:
    """Add runs to the work of their queue, if they take slots of Sisy's own workers."""
    if engine in conf.get_settings().native_engines:
        work[queue] = work.get(queue, Work()).plus(number, each)


def slots_by_queue(workers: Iterable[Process]) -> dict[str, int]:
    """Return how many slots the workers have for each queue, without those that drain."""
    slots: Counter[str] = Counter()
    for worker in workers:
        if worker.drain_requested_at is None:
            slots.update(dict.fromkeys(worker.queues, worker.slots))
    return dict(slots)


def longest_wait(work: Mapping[str, Work], slots: Mapping[str, int]) -> Wait | None:
    """Return how long the last run that is due at a moment will probably wait for a slot.

    It will be longer if slots are in use already, and if the duration of some runs is unknown. A
    queue without a worker is left out, because the number of its slots is unknown.

    Returns:
        The wait in the queue where it is longest; None if it is shorter than `SHORTEST_WAIT`.
    """
    waits = (
        Wait(queue=queue, slots=slots[queue], time=each.wait(slots[queue]))
        for queue, each in work.items()
        if slots.get(queue)
    )
    longest = max(waits, key=lambda wait: wait.time, default=None)
    return longest if longest and longest.time >= SHORTEST_WAIT else None


def _add(
    due_at: "Counter[datetime]",
    by: "dict[datetime, Counter[int]]",
    due: datetime,
    place: int,
    number: float,
) -> None:
    due_at[due] += number  # type: ignore[assignment]  # a sample may represent a fraction
    by.setdefault(due, Counter())[place] += number  # type: ignore[assignment]


def _hours(start: datetime, end: datetime) -> Iterable[datetime]:
    hour = start.replace(minute=0, second=0, microsecond=0) + HOUR
    while hour < end:
        yield hour
        hour += HOUR
