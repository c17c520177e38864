"""The schedules of all tasks, each once, with how long their runs usually take."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from django.db.models import Count, Min, QuerySet

from sisy.load import Group
from sisy.models import Task
from sisy.models.timing import TICK
from sisy.reports.coming import left_of, occurrences
from sisy.reports.durations import recent_durations
from sisy.schedules.expression import is_hashed

MAX_GROUPS = 1000  # those of most tasks
MAX_TASKS_SAMPLED = 100  # tasks of a schedule whose moments depend on the label
MAX_LIMITED_TASKS = 200  # tasks whose iterations are limited
MAX_ITERATIONS_COUNTED = 1000  # of such a task, that are counted one by one

NO_TIME = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """The schedules of repeating tasks."""

    groups: list[Group]
    tasks: int
    """How many tasks they stand for."""
    left_out: int
    """How many tasks have schedules that are shared by too few to be counted."""


def plans(using: str, now: datetime, until: datetime) -> Plans:
    """Return what active tasks repeat by, of those that are due before ``until``.

    Tasks share a group that are due at the same moments: by the same schedule, zone and dates.
    Each of those whose iterations are limited has one of its own, which ends with the last.
    """
    due = Task.objects.using(using).active().filter(next_run__lte=until).exclude(schedule="")
    rows = (
        due.filter(iterations=None)
        .order_by()
        .values_list("schedule", "timezone", "start_running", "end_running")
        .annotate(number=Count("pk"), label=Min("label"))
        .order_by("-number")
    )
    shared = list(rows[: MAX_GROUPS + 1])
    limited = list(
        due.exclude(iterations=None).order_by("next_run", "pk")[: MAX_LIMITED_TASKS + 1]
    )
    takes = recent_durations(using, "task__schedule", "task__timezone")
    groups = [
        Group(
            expression=expression,
            timezone=zone,
            key=key,
            number=number / len(keys),
            takes=takes.get((expression, zone), NO_TIME),
            start=start,
            end=end,
        )
        for expression, zone, start, end, number, label in shared[:MAX_GROUPS]
        for keys in [_keys(due, expression, zone, number, label)]
        for key in keys
    ]
    groups += [
        Group(
            expression=task.schedule,
            timezone=task.timezone,
            key=task.label,
            takes=takes.get((task.schedule, task.timezone), NO_TIME),
            start=task.start_running,
            end=_end(task, now, until),
        )
        for task in limited[:MAX_LIMITED_TASKS]
    ]
    counted = sum(row[4] for row in shared[:MAX_GROUPS]) + len(limited[:MAX_LIMITED_TASKS])
    is_cut = len(shared) > MAX_GROUPS or len(limited) > MAX_LIMITED_TASKS
    return Plans(groups=groups, tasks=counted, left_out=due.count() - counted if is_cut else 0)


def _keys(due: "QuerySet[Task]", expression: str, zone: str, number: int, label: str) -> list[str]:
    """Return the labels by which ``h`` is hashed; of many tasks, those of some."""
    if number == 1 or not is_hashed(expression):
        return [label]
    alike = due.filter(schedule=expression, timezone=zone)
    return list(alike.order_by("pk").values_list("label", flat=True)[:MAX_TASKS_SAMPLED])


def _end(task: Task, now: datetime, until: datetime) -> datetime:
    """Return the moment behind the last iteration that is left, or ``until`` if that is later."""
    last = now
    for due in islice(occurrences(task, now), MAX_ITERATIONS_COUNTED):
        if due >= until:
            return until
        last = due
    left = left_of(task)
    return until if left is None or left > MAX_ITERATIONS_COUNTED else last + TICK
