"""The upcoming load: how many runs start at which time, and how many slots they need.

`due_groups` reads the schedules of all tasks, each once. From them, `cells` computes how many runs
start in each part of a range, and `sisy.reports.peaks` finds the seconds in which most runs start.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db.models import Count, Max, Min, QuerySet

from sisy.exceptions import ScheduleError
from sisy.models import Task
from sisy.planning.timing import TICK, iterations_left, occurrences
from sisy.reports.durations import usual_by, usual_by_task
from sisy.schedules import Schedule
from sisy.schedules.calendar import just_before
from sisy.schedules.expression import is_hashed

MAX_GROUPS = 1000  # groups of tasks, the largest ones
MAX_TASKS_SAMPLED = 100  # tasks of a schedule whose moments depend on the label
MAX_LIMITED_TASKS = 200  # tasks whose iterations are limited
MAX_ITERATIONS_COUNTED = 1000  # iterations of such a task that are counted one by one
MAX_MOMENTS_LISTED = 200  # due moments of a schedule; if there are more, they are only counted
MAX_GROUPS_LOOKED_UP = 20  # groups of several tasks whose durations are looked up by task

SHARED = ("schedule", "timezone", "start_running", "end_running", "spread", "queue", "engine")
ENDS = ("first", "last")  # the first and the last task of a group

NO_TIME = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DueGroup:
    """Tasks that are due at the same moments.

    Args:
        key: the text from which ``h`` is computed.
        number: how many tasks the group has; a fraction if only a sample of them was read.
        takes: how long their runs usually take.
        spread: the time over which their starts are spread.
        start: the moment before which they are not due, if any.
        end: the moment from which they are no longer due, if any.
        sample: the keys of some of the tasks.
    """

    expression: str
    timezone: str
    queue: str = "default"
    engine: str = "default"
    key: str = ""
    number: float = 1.0
    takes: timedelta = NO_TIME
    spread: timedelta = NO_TIME
    start: datetime | None = None
    end: datetime | None = None
    sample: tuple[int, ...] = ()

    def within(self, start: datetime, end: datetime) -> tuple[datetime, datetime]:
        """Return the part of the range ``start`` ≤ due < ``end`` in which they are due."""
        start = max(start, self.start or start)
        return start, max(start, min(end, self.end or end))

    def schedule(self) -> Schedule | None:
        """Return their schedule; None if it is not valid."""
        try:
            return Schedule(self.expression, self.timezone, key=self.key)
        except ScheduleError:
            return None

    def task(self, due: datetime) -> Task:
        """Return a task like those of the group, which is due at a moment and is not stored."""
        return Task(
            label=self.key,
            schedule=self.expression,
            timezone=self.timezone,
            spread=self.spread,
            next_run=due,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DueGroups:
    """The active tasks with a schedule, in groups that are due at the same moments."""

    groups: list[DueGroup]
    tasks: int
    """The number of tasks that the groups represent."""
    left_out: int
    """The number of tasks that are not counted, because too few share their schedules."""


@dataclass(slots=True, kw_only=True)
class Cell:
    """A part of a range: how many runs start in it, and how many slots are used on average."""

    start: datetime
    starts: float = 0.0
    busy: float = 0.0


def due_groups(using: str, now: datetime, until: datetime) -> DueGroups:
    """Return the groups of active tasks that are due before ``until``.

    Tasks with the same schedule, zone, dates, queue and engine share a group. A task whose
    iterations are limited has a group of its own, which ends with the last iteration.
    """
    due = Task.objects.using(using).active().filter(next_run__lte=until).exclude(schedule="")
    rows = (
        due.filter(iterations=None)
        .order_by()
        .values(*SHARED)
        .annotate(number=Count("pk"), label=Min("label"), first=Min("pk"), last=Max("pk"))
        .order_by("-number")
    )
    shared = list(rows[: MAX_GROUPS + 1])
    limited = list(
        due.exclude(iterations=None).order_by("next_run", "pk")[: MAX_LIMITED_TASKS + 1]
    )
    takes = usual_by(using, "task__schedule", "task__timezone")
    takes |= _looked_up(using, [row for row in shared if _timing(row) not in takes])
    groups = [group for row in shared[:MAX_GROUPS] for group in _groups_of(due, row, takes)]
    groups += [
        DueGroup(
            expression=task.schedule,
            timezone=task.timezone,
            key=task.label,
            takes=takes.get((task.schedule, task.timezone), NO_TIME),
            spread=task.spread,
            start=task.start_running,
            end=_end(task, now, until),
            queue=task.queue,
            engine=task.engine,
            sample=(task.pk,),
        )
        for task in limited[:MAX_LIMITED_TASKS]
    ]
    counted = sum(row["number"] for row in shared[:MAX_GROUPS]) + len(limited[:MAX_LIMITED_TASKS])
    is_cut = len(shared) > MAX_GROUPS or len(limited) > MAX_LIMITED_TASKS
    return DueGroups(groups=groups, tasks=counted, left_out=due.count() - counted if is_cut else 0)


def _timing(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["schedule"], row["timezone"]


def _looked_up(using: str, rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], timedelta]:
    """Return how long runs usually take, by schedule and zone, according to two tasks of each.

    The newest runs of all tasks do not contain those of a nightly task, if others run each second.

    Args:
        rows: the groups of tasks, the largest first. Only some of them are looked up.
    """
    some = [row for row in rows if row["number"] > 1][:MAX_GROUPS_LOOKED_UP]
    took = usual_by_task(using, {row[end] for row in some for end in ENDS}) if some else {}
    return {_timing(row): took[row[end]] for row in some for end in ENDS if row[end] in took}


def _groups_of(
    due: "QuerySet[Task]", row: Mapping[str, Any], takes: Mapping[tuple[str, str], timedelta]
) -> Iterator[DueGroup]:
    """Yield a group, or a group for each of its tasks, if ``h`` lets them differ."""
    alike = due.filter(queue=row["queue"], engine=row["engine"])
    keys = _keys(alike, *_timing(row), row["number"], row["label"])
    for key in keys:
        yield DueGroup(
            expression=row["schedule"],
            timezone=row["timezone"],
            key=key,
            number=row["number"] / len(keys),
            takes=takes.get(_timing(row), NO_TIME),
            spread=row["spread"],
            start=row["start_running"],
            end=row["end_running"],
            queue=row["queue"],
            engine=row["engine"],
            sample=tuple(sorted({row[end] for end in ENDS})),
        )


def _keys(due: "QuerySet[Task]", expression: str, zone: str, number: int, label: str) -> list[str]:
    """Return the labels from which ``h`` is computed; for many tasks, a sample of them."""
    if number == 1 or not is_hashed(expression):
        return [label]
    alike = due.filter(schedule=expression, timezone=zone)
    return list(alike.order_by("pk").values_list("label", flat=True)[:MAX_TASKS_SAMPLED])


def _end(task: Task, now: datetime, until: datetime) -> datetime:
    """Return the moment after the last remaining iteration, or ``until`` if that is earlier."""
    last = now
    for due in islice(occurrences(task, now), MAX_ITERATIONS_COUNTED):
        if due >= until:
            return until
        last = due
    left = iterations_left(task)
    return until if left is None or left > MAX_ITERATIONS_COUNTED else last + TICK


def cells(groups: Iterable[DueGroup], start: datetime, width: timedelta, count: int) -> list[Cell]:
    """Return ``count`` cells of the same width, from ``start`` on."""
    found = [Cell(start=start + n * width) for n in range(count)]
    for group in groups:
        schedule = group.schedule()
        if schedule is None:
            continue
        for place, times in _due_in_cells(group, schedule, start, width, count):
            _start(found, place, group.number * times, group, width)
    return found


def _start(
    found: Sequence[Cell], place: float, runs: float, group: DueGroup, width: timedelta
) -> None:
    """Let runs start at a place, or from there on over the time of their spread."""
    end = place + group.spread / width
    while int(place) < len(found):
        until = min(end, int(place) + 1)
        part = (until - place) / (end - place) if end > place else 1.0
        found[int(place)].starts += runs * part
        _take_slots(found, int(place), runs * part, group.takes / width)
        runs -= runs * part
        place = until
        if place >= end:
            return


def _due_in_cells(
    group: DueGroup, schedule: Schedule, start: datetime, width: timedelta, count: int
) -> Iterable[tuple[float, int]]:
    first, end = group.within(start, start + count * width)
    if schedule.count_between(just_before(first), just_before(end)) <= MAX_MOMENTS_LISTED:
        for due in schedule.between(just_before(first), just_before(end)):
            yield (due - start) / width, 1
        return
    for place in range(count):
        first, end = group.within(start + place * width, start + (place + 1) * width)
        if times := schedule.count_between(just_before(first), just_before(end)):
            yield place, times


def _take_slots(found: Sequence[Cell], place: int, runs: float, widths: float) -> None:
    """Spread the duration of runs over the cells in which they are running."""
    while widths > 0 and place < len(found):
        part = min(1.0, widths)
        found[place].busy += runs * part
        widths -= part
        place += 1
