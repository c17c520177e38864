"""The rows of lists of tasks: similar tasks share one, so that they do not bury the others.

Tasks are similar if the prefix of their labels and their schedule are the same, and none of them
has a problem. The prefix alone would hide too much: in many labels it is the name of an app, and
then all tasks of the app would share a row.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.utils.translation import ngettext

from sisy.models import Alert, Task, TaskState
from sisy.records.choices import FAILED_STATES
from sisy.records.small_tables import TroubledRun
from sisy.reports import formatting
from sisy.reports.task_groups import prefix_of

MIN_SIMILAR = 5  # similar tasks; fewer have a row each
MAX_ALERTS_READ = 200  # newest alerts
MAX_TROUBLE_READ = 200  # newest failures
RECENTLY = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A row of a list: one task, or several that share it.

    Attributes:
        key: what distinguishes it from other rows.
        query: the filters with which the list of tasks shows the tasks of the row.
        is_all: whether it has all tasks that it could have, because all were read.
    """

    key: str
    label: str
    tasks: Sequence[Task]
    query: str
    is_all: bool = True

    @property
    def task(self) -> Task | None:
        """The task, if it is one."""
        return self.tasks[0] if len(self.tasks) == 1 else None

    @property
    def words(self) -> str:
        """The schedule in words; empty if it has none, or different ones for each of its tasks."""
        task = self.tasks[0]
        if len(self.tasks) > 1 and "h" in task.schedule.lower():
            return ""
        return formatting.words_of(task.schedule, task.timezone, task.label)

    @property
    def counted(self) -> str:
        """The number of its tasks in words, such as "30 tasks" or "30+ tasks"."""
        number = len(self.tasks)
        return ngettext("%s task", "%s tasks", number) % f"{number}{'' if self.is_all else '+'}"


def row_of(task: Task) -> TaskRow:
    """Return the row of one task."""
    return TaskRow(key=str(task.pk), label=task.label, tasks=[task], query="")


def rows_by(tasks: Sequence[Task], column: str, name: str) -> list[TaskRow]:
    """Return a row for each value of a column, in the order of the first tasks with these.

    Args:
        name: the filter of the list of tasks for this column.
    """
    found: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        found[getattr(task, column)].append(task)
    return [
        TaskRow(key=value, label=value, tasks=some, query=urlencode({name: value}))
        if len(some) > 1
        else row_of(some[0])
        for value, some in found.items()
    ]


def similar_together(
    tasks: Sequence[Task], alone: Collection[int], *, is_all: bool = True
) -> list[TaskRow]:
    """Return a row for each task, and one for similar tasks, in the order of their first tasks.

    Args:
        alone: the keys of tasks with problems, which have rows of their own.
        is_all: whether these are all tasks of the list.
    """
    similar: dict[tuple[str, ...], list[Task]] = defaultdict(list)
    for task in tasks:
        if task.pk not in alone:
            similar[_kind_of(task)].append(task)
    shared = {
        min(each.pk for each in some): some
        for (prefix, *_), some in similar.items()
        if prefix and len(some) >= MIN_SIMILAR
    }
    first = {each.pk: key for key, some in shared.items() for each in some}
    rows: dict[str, TaskRow] = {}
    for task in tasks:
        row = row_of(task)
        if task.pk in first:
            row = _shared_row(first[task.pk], shared[first[task.pk]], is_all)
        rows.setdefault(row.key, row)
    return list(rows.values())


def _shared_row(key: int, tasks: Sequence[Task], is_all: bool) -> TaskRow:
    prefix = prefix_of(tasks[0].label)
    query = urlencode({"group": "prefix", "only": prefix})
    return TaskRow(key=f"{prefix}-{key}", label=prefix, tasks=tasks, query=query, is_all=is_all)


def _kind_of(task: Task) -> tuple[str, ...]:
    """Return what similar tasks have in common; its first part is empty if none are similar."""
    is_well = task.state == TaskState.ACTIVE and not task.target_error
    # By default, a label is the path of the function, whose prefix is the name of the project.
    is_named = task.label != task.target_path
    prefix = prefix_of(task.label) if is_well and is_named else ""
    return prefix, task.schedule, task.timezone


def with_problems(using: str, now: datetime) -> list[int]:
    """Return the keys of tasks with open alerts, and then of those that failed recently."""
    alerts = Alert.objects.using(using).open().filter(task_id__isnull=False).order_by("-pk")
    alerted = alerts.values_list("task_id", flat=True)[:MAX_ALERTS_READ]
    failed = TroubledRun.objects.using(using).filter(finished_at__gte=now - RECENTLY)
    failed = failed.filter(state__in=FAILED_STATES).order_by("-finished_at")
    keys = [*alerted, *failed.values_list("task_id", flat=True)[:MAX_TROUBLE_READ]]
    return [key for key in dict.fromkeys(keys) if key is not None]
