"""The groups of the list of tasks: by app, by queue, or by the prefix of their labels."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from django.apps import apps
from django.db.models import Case, CharField, Count, F, Q, QuerySet, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Left, Replace, StrIndex, Trim
from django.db.models.lookups import GreaterThan

from sisy.alerting.problem import of_queue
from sisy.models import Alert, Task, TaskState

SEPARATORS = (":", "/", ".", "-")
"""Each of these characters in a label ends its prefix."""

MAX_GROUPS = 100  # that a page lists
MAX_PATHS_READ = 2000  # functions whose apps are looked up


def in_trouble(using: str) -> Q:
    """Return the condition for tasks with a problem.

    They are broken, lack their function, or have an open alert; so may the queue of active ones.
    """
    alerts = Alert.objects.using(using).open()
    of_tasks = alerts.filter(task_id__isnull=False).values("task_id")
    of_queues = alerts.filter(subject__startswith=of_queue("")).values("queue")
    return (
        Q(state=TaskState.BROKEN)
        | ~Q(target_error="")
        | Q(pk__in=of_tasks)
        | Q(state=TaskState.ACTIVE, queue__in=of_queues)
    )


def open_alerts(using: str, tasks: Sequence[Task]) -> dict[int, list[Alert]]:
    """Return the open alerts of tasks and of their queues, one of each kind, by task."""
    by_task: dict[int, dict[str, Alert]] = defaultdict(dict)
    by_queue: dict[str, dict[str, Alert]] = defaultdict(dict)
    queues = {of_queue(task.queue) for task in tasks}
    about = Q(task_id__in=[task.pk for task in tasks]) | Q(subject__in=queues)
    for alert in Alert.objects.using(using).open().filter(about).order_by("pk"):
        if alert.is_about_queue:
            by_queue[alert.queue].setdefault(alert.kind, alert)
        elif alert.task_id is not None:
            by_task[alert.task_id].setdefault(alert.kind, alert)
    return {task.pk: list({**by_queue[task.queue], **by_task[task.pk]}.values()) for task in tasks}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskGroup:
    """A group of tasks, with those of them that are on the page.

    Attributes:
        key: its queue, app or prefix; empty for the tasks that have none.
        number: how many tasks it has, on all pages.
        problems: how many of them need attention.
    """

    key: str
    number: int
    problems: int
    tasks: Sequence[Task]


def with_group(tasks: QuerySet[Any], by: str) -> QuerySet[Any]:
    """Add the key of its group to each task, as ``group_key``."""
    grouped: QuerySet[Any] = tasks.annotate(group_key=KEYS[by](tasks))
    return grouped


def groups_of(
    using: str, matching: QuerySet[Any], shown: Sequence[Any], *, is_first_page: bool
) -> list[TaskGroup]:
    """Return the groups of a page of tasks, and later groups, which have no tasks on it.

    Args:
        matching: all tasks of the list, with their keys.
        shown: the tasks of the page, in the order of their groups.
    """
    on_page = {key: list(tasks) for key, tasks in groupby(shown, attrgetter("group_key"))}
    if not is_first_page and on_page:
        matching = matching.filter(group_key__gte=next(iter(on_page)))
    counted = (
        matching.order_by("group_key")
        .values("group_key")
        .annotate(number=Count("pk"), problems=Count("pk", filter=in_trouble(using)))
    )
    return [
        TaskGroup(
            key=row["group_key"],
            number=row["number"],
            problems=row["problems"],
            tasks=on_page.get(row["group_key"], ()),
        )
        for row in counted[:MAX_GROUPS]
    ]


def _queue(tasks: QuerySet[Any]) -> Combinable:
    return F("queue")


def _prefix(tasks: QuerySet[Any]) -> Combinable:
    first, *others = SEPARATORS
    label: Combinable = F("label")
    for other in others:
        label = Replace(label, Value(other), Value(first))
    end = StrIndex(label, Value(first))
    return Case(
        When(GreaterThan(end, 1), then=Trim(Left("label", end - 1))),
        default=Value(""),
        output_field=CharField(),
    )


def prefix_of(label: str) -> str:
    """Return the prefix of a label, as `_prefix` does in the database."""
    ends = (place for each in SEPARATORS if (place := label.find(each)) >= 0)
    return label[: min(ends, default=0)].strip(" ")


def _app(tasks: QuerySet[Any]) -> Combinable:
    # A database knows no apps. Most sites have few functions, of even fewer apps.
    paths = tasks.order_by().values_list("target_path", flat=True).distinct()[:MAX_PATHS_READ]
    found = {config for path in paths if (config := apps.get_containing_app_config(path))}
    # An app may be within another one.
    inner_first = sorted(found, key=lambda config: len(config.name), reverse=True)
    return Case(
        *(
            When(target_path__startswith=f"{config.name}.", then=Value(config.label))
            for config in inner_first
        ),
        default=Value(""),
        output_field=CharField(),
    )


KEYS: dict[str, Callable[[QuerySet[Any]], Combinable]] = {
    "app": _app,
    "queue": _queue,
    "prefix": _prefix,
}
"""By what tasks can be grouped: functions that return the key of a task's group."""
