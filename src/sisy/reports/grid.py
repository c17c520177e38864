"""The grid of the overview: a row for each task, with a square for each of its latest runs.

It never reads the whole ledger or all tasks. If there are more tasks than rows, it shows those
with problems, and then those with the newest runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sisy.models import Alert, Run, Task
from sisy.records.choices import FAILED_STATES
from sisy.records.small_tables import TroubledRun
from sisy.reports.ledger import newest_by_task
from sisy.reports.squares import MAX_SQUARES, LatestRuns, in_squares
from sisy.reports.timeline import bars_of_each

MAX_ROWS = 30  # tasks
MAX_RUNS_WALKED = 1000  # newest runs of all tasks, whose tasks are shown if there are too many
MAX_TROUBLE_READ = 200  # newest failures
RECENTLY = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """The tasks that the overview shows first, and their newest runs.

    The grid and the timeline show the same ones, so that they are read once.

    Attributes:
        tasks: by their labels.
        is_all: whether these are all active tasks.
        runs: the newest runs of each task, by its key, the newest first.
    """

    tasks: list[Task]
    is_all: bool
    runs: dict[int, list[Run]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRow:
    """A task with its latest runs."""

    task: Task
    latest: LatestRuns


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The rows of the grid.

    Attributes:
        is_all: whether all active tasks have a row.
    """

    rows: list[GridRow]
    is_all: bool


def grid(news: News, now: datetime, *, in_full: bool) -> Grid:
    """Return the tasks with their latest runs.

    Args:
        in_full: whether the texts of errors may be shown; see `sisy.reports.disclosure`.
    """
    latest = in_squares(news.runs, now, in_full=in_full)
    rows = [GridRow(task=task, latest=latest[task.pk]) for task in news.tasks]
    return Grid(rows=rows, is_all=news.is_all)


def read_news(using: str, now: datetime) -> News:
    """Return up to `MAX_ROWS` active tasks and their newest runs.

    If there are more tasks, those with problems are chosen first, and then those with the newest
    runs.
    """
    tasks, is_all = _chosen(using, now)
    keys = [task.pk for task in tasks]
    runs = newest_by_task(using, keys, max(MAX_SQUARES, bars_of_each(len(keys))))
    return News(tasks=tasks, is_all=is_all, runs=runs)


def _chosen(using: str, now: datetime) -> tuple[list[Task], bool]:
    active = Task.objects.using(using).active().order_by("pk")
    first = list(active[: MAX_ROWS + 1])
    if len(first) <= MAX_ROWS:
        return _in_order(first), True
    found: dict[int, Task] = {}
    for keys in _candidates(using, now):
        wanted = [key for key in dict.fromkeys(keys) if key not in found]
        known = active.in_bulk(wanted[: MAX_ROWS - len(found)])
        found |= {key: known[key] for key in wanted if key in known}
    others = [task for task in first if task.pk not in found]
    return _in_order([*found.values(), *others][:MAX_ROWS]), False


def _candidates(using: str, now: datetime) -> Iterator[list[int]]:
    """Yield the keys of tasks with alerts, with failures, and with the newest runs."""
    alerts = Alert.objects.using(using).open().filter(task_id__isnull=False).order_by("-pk")
    keys = alerts.values_list("task_id", flat=True)[:MAX_ROWS]
    yield [key for key in keys if key is not None]
    failed = TroubledRun.objects.using(using).filter(finished_at__gte=now - RECENTLY)
    failed = failed.filter(state__in=FAILED_STATES).order_by("-finished_at")
    yield list(failed.values_list("task_id", flat=True)[:MAX_TROUBLE_READ])
    newest = Run.objects.using(using).order_by("-pk")[:MAX_RUNS_WALKED]
    yield [key for key in newest.values_list("task_id", flat=True) if key is not None]


def _in_order(tasks: list[Task]) -> list[Task]:
    # By label and not by the newest run, so that rows keep their places.
    return sorted(tasks, key=lambda task: (task.label.lower(), task.pk))
