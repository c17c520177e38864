"""The schedules of all tasks, each once, with how long their runs usually take."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min

from sisy.load import Group
from sisy.models import Run, RunState, Task
from sisy.queries.durations import median
from sisy.schedules.expression import is_hashed

MOST_GROUPS = 1000  # those of most tasks
SAMPLED = 100  # tasks of a schedule whose moments depend on the label
RECENT = 3000  # runs that tell how long they take

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """What is planned ahead."""

    groups: list[Group]
    tasks: int
    """How many tasks they stand for."""
    left_out: int
    """How many tasks have schedules that are shared by too few to be counted."""


def plans(using: str, until: datetime) -> Plans:
    """Return what active tasks repeat by, of those that are due before ``until``."""
    due = Task.objects.using(using).active().filter(next_run__lte=until).exclude(schedule="")
    rows = (
        due.order_by()
        .values_list("schedule", "timezone")
        .annotate(number=Count("pk"), label=Min("label"))
        .order_by("-number")
    )
    shared = list(rows[: MOST_GROUPS + 1])
    takes = _usual(using)
    groups: list[Group] = []
    for expression, zone, number, label in shared[:MOST_GROUPS]:
        usual = takes.get((expression, zone), timedelta(0))
        keys = [label]
        if is_hashed(expression) and number > 1:
            alike = due.filter(schedule=expression, timezone=zone)
            keys = list(alike.order_by("pk").values_list("label", flat=True)[:SAMPLED])
        groups += [
            Group(
                expression=expression,
                timezone=zone,
                key=key,
                number=number / len(keys),
                takes=usual,
            )
            for key in keys
        ]
    counted = sum(number for _, _, number, _ in shared[:MOST_GROUPS])
    left_out = due.count() - counted if len(shared) > MOST_GROUPS else 0
    return Plans(groups=groups, tasks=counted, left_out=left_out)


def _usual(using: str) -> dict[Key, timedelta]:
    """Return how long runs of tasks with a schedule usually took lately."""
    recent = Run.objects.using(using).exclude(task=None).order_by("-pk")
    rows = recent.values_list(
        "task__schedule", "task__timezone", "state", "started_at", "finished_at"
    )[:RECENT]
    took: dict[Key, list[timedelta]] = defaultdict(list)
    for schedule, zone, state, started_at, finished_at in rows:
        if state == RunState.SUCCEEDED and started_at and finished_at:
            took[schedule, zone].append(finished_at - started_at)
    return {key: median(spans) or timedelta(0) for key, spans in took.items()}
