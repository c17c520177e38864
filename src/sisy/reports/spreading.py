"""Spread tasks that start at the same time: which they are, how, and what it does to the load."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, pairwise

from sisy.exceptions import ScheduleError
from sisy.models import Task
from sisy.planning.timing import Timing, ready_at
from sisy.reports.durations import usual_of_each
from sisy.reports.load import Cell, DueGroup
from sisy.schedules.calendar import just_before
from sisy.schedules.names import ALIASES

MAX_GROUPS_READ = 50  # schedules of a time span, those with most tasks
MAX_TASKS_READ = 300  # tasks with one of these schedules
MAX_TASKS_LISTED = 50
MAX_STARTS_COUNTED = 100  # of a task in a preview
OCCURRENCES_COMPARED = 4  # of a task, to find out how often it is due
PREVIEW, SLICE = timedelta(hours=2), timedelta(minutes=5)

HASHED = "h"
"""Write ``h`` in the schedule, so that the minute depends on the label of the task."""
SPREADS = {"15": timedelta(minutes=15), "60": timedelta(hours=1)}
"""The spreads on offer, by their minutes."""
WAYS = (HASHED, *SPREADS)


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTask:
    """A task that is due in a time span.

    Attributes:
        due: when it is due for the first time in the span.
        starts: when that run starts, with the task's spread.
        changed: a copy of it that starts at another time; None if the way does not fit it.
        takes: how long its runs usually take; None if unknown.
    """

    task: Task
    due: datetime
    starts: datetime
    changed: Task | None
    takes: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The starts of tasks around a time span, before and after a change."""

    before: list[Cell]
    after: list[Cell]


def hashed(expression: str) -> str | None:
    """Return a schedule with ``h`` in place of its minute; None if it has no fixed minutes."""
    text = ALIASES.get(expression.strip().lower(), expression.strip())
    minute, _, rest = text.partition(" ")
    first, slash, step = minute.partition("/")
    if not rest:
        return None
    if minute.isdigit():
        return f"h {rest}"
    return f"h/{step} {rest}" if slash and (first == "*" or first.isdigit()) else None


def spread_copy(task: Task, way: str) -> Task | None:
    """Return a copy of a task that is spread in one of the `WAYS`; None if nothing changes."""
    changed = copy(task)
    if way == HASHED:
        expression = hashed(task.schedule)
        if expression is None or expression == task.schedule:
            return None
        changed.schedule = expression
    elif changed.spread < SPREADS[way] and _leaves_room(task, SPREADS[way]):
        changed.spread = SPREADS[way]
    else:
        return None
    return changed


def can_be_spread(task: Task) -> bool:
    """Return whether one of the `WAYS` lets a task start at another moment."""
    return any(spread_copy(task, way) is not None for way in WAYS)


def _leaves_room(task: Task, spread: timedelta) -> bool:
    """Return whether a spread is at most half of the time between the next occurrences."""
    try:
        timing = Timing.of(task)
    except ScheduleError:
        return False
    if task.next_run is None:
        return True
    first = just_before(task.next_run)
    due = islice(
        timing.between(first, first + 2 * OCCURRENCES_COMPARED * spread), OCCURRENCES_COMPARED
    )
    return all(2 * spread <= later - earlier for earlier, later in pairwise(due))


def due_tasks(
    using: str, groups: Sequence[DueGroup], start: datetime, end: datetime, way: str
) -> list[DueTask]:
    """Return tasks that are due in ``start`` ≤ due < ``end``; first those that can be spread.

    Args:
        groups: the groups of all tasks.
        way: one of the `WAYS` to spread them.
    """
    timings = _schedules_of(groups, start, end)
    schedules, zones = {text for text, _ in timings}, {zone for _, zone in timings}
    tasks = Task.objects.using(using).active().filter(next_run__lt=end)
    alike = tasks.filter(schedule__in=schedules, timezone__in=zones)
    found = []
    for task in alike.order_by("label", "pk")[:MAX_TASKS_READ]:
        try:
            timing = Timing.of(task)
            due = timing.next_after(just_before(start))
        except ScheduleError:
            continue
        if due is not None and due < end:
            changed = spread_copy(task, way)
            starts = ready_at(task, due, timing.next_after(due))
            found.append(DueTask(task=task, due=due, starts=starts, changed=changed))
    shown = sorted(found, key=lambda one: one.changed is None)[:MAX_TASKS_LISTED]
    takes = usual_of_each(using, [one.task.pk for one in shown])
    return [replace(one, takes=takes.get(one.task.pk)) for one in shown]


def pile_of(tasks: Iterable[DueTask]) -> list[DueTask]:
    """Return the tasks that cause a peak: those with the most common of the schedules.

    Tasks of different queues do not wait for each other, so they are counted apart. Tasks that
    would not change are left out, and so is a task that shares its schedule with no other.
    """
    alike: dict[Hashable, list[DueTask]] = defaultdict(list)
    for one in tasks:
        if one.changed is not None:
            alike[one.task.schedule, one.task.timezone, one.task.queue].append(one)
    largest = max(alike.values(), key=len, default=[])
    return largest if len(largest) > 1 else []


def _schedules_of(
    groups: Sequence[DueGroup], start: datetime, end: datetime
) -> list[tuple[str, str]]:
    """Return the schedules of most of the tasks that are due in a time span, with their zones."""
    numbers: Counter[tuple[str, str]] = Counter()
    for group in groups:
        schedule = group.schedule()
        first, last = map(just_before, group.within(start, end))
        if schedule is not None and schedule.count_between(first, last):
            key = (group.expression, group.timezone)
            numbers[key] += group.number  # type: ignore[assignment]  # may be a fraction
    return [key for key, _ in numbers.most_common(MAX_GROUPS_READ)]


def compare(tasks: Sequence[DueTask], start: datetime) -> Comparison:
    """Return the starts of tasks in two hours from ``start`` on, before and after the change."""
    pairs = [(one.task, one.changed or one.task) for one in tasks]
    rare = [pair for pair in pairs if not _is_frequent(pair[1], start)]
    return Comparison(
        before=_starts_of([task for task, _ in rare], start),
        after=_starts_of([changed for _, changed in rare], start),
    )


def _starts_of(tasks: Iterable[Task], start: datetime) -> list[Cell]:
    # A forecast draws a spread evenly. Here, each task has its own delay.
    found = [Cell(start=start + n * SLICE) for n in range(PREVIEW // SLICE)]
    for task in tasks:
        for moment in _starts(task, start, start + PREVIEW):
            found[int((moment - start) / SLICE)].starts += 1
    return found


def _is_frequent(task: Task, start: datetime) -> bool:
    """Return whether a task is due so often that a spread hardly changes the load."""
    first, last = start - task.spread, start + PREVIEW
    return Timing.of(task).schedule.count_between(first, last) > MAX_STARTS_COUNTED


def _starts(task: Task, start: datetime, end: datetime) -> Iterator[datetime]:
    """Yield when the runs of a task start in a time span, with its spread."""
    timing = Timing.of(task)
    due = timing.next_after(just_before(start - task.spread))
    while due is not None and due < end:
        later = timing.next_after(due)
        moment = ready_at(task, due, later)
        if start <= moment < end:
            yield moment
        due = later
