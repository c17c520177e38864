"""The grid of the overview: a row for each task, with a square for each of its latest runs.

Similar tasks without a problem share a row. It never reads the whole ledger or all tasks: if there
are too many, it shows those with problems, and then those with the newest runs.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sisy.models import Run, Task
from sisy.reports.ledger import newest_of_each
from sisy.reports.squares import MAX_SQUARES, LatestRuns, of_rows
from sisy.reports.task_rows import TaskRow, similar_together, with_problems
from sisy.reports.timeline import bars_of_each

MAX_ROWS = 30
MAX_ROWS_OF_MANY = 20  # if there are more active tasks than are read
MAX_TASKS_READ = 100  # active tasks
MAX_RUNS_WALKED = 1000  # newest runs of all tasks, whose tasks are shown if there are too many


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """The tasks that the overview shows first, and their newest runs.

    The grid and the timeline show the same ones, so that they are read once.

    Attributes:
        rows: by their labels.
        is_all: whether all active tasks are in these rows.
        runs: the newest runs of each task, by its key, the newest first.
    """

    rows: list[TaskRow]
    is_all: bool
    runs: dict[int, list[Run]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRow:
    """A row of tasks with their latest runs."""

    row: TaskRow
    latest: LatestRuns


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The rows of the grid.

    Attributes:
        is_all: whether all active tasks have a row, or share one.
    """

    rows: list[GridRow]
    is_all: bool

    @property
    def number(self) -> int:
        """The number of tasks in all rows."""
        return sum(len(each.row.tasks) for each in self.rows)


def grid(news: News, now: datetime, *, in_full: bool) -> Grid:
    """Return the rows of tasks with their latest runs.

    Args:
        in_full: whether the texts of errors may be shown; see `sisy.reports.disclosure`.
    """
    latest = of_rows(news.rows, news.runs, now, in_full=in_full)
    rows = [GridRow(row=row, latest=latest[row.key]) for row in news.rows]
    return Grid(rows=rows, is_all=news.is_all)


def read_news(using: str, now: datetime) -> News:
    """Return up to `MAX_ROWS` rows of active tasks, and the newest runs of these.

    If there are more tasks than `MAX_TASKS_READ`, it returns `MAX_ROWS_OF_MANY`. If not all have a
    row, those with problems are chosen first, and then those with the newest runs.
    """
    active = Task.objects.using(using).active().order_by("pk")
    tasks = list(active[: MAX_TASKS_READ + 1])
    is_all = len(tasks) <= MAX_TASKS_READ
    alone = with_problems(using, now)
    most = MAX_ROWS if is_all else MAX_ROWS_OF_MANY
    rows = similar_together(tasks, frozenset(alone)) if is_all else []
    if not is_all or len(rows) > MAX_ROWS:
        tasks = _first(using, tasks, alone, is_all=is_all)
        rows = similar_together(tasks, frozenset(alone), is_all=is_all)
        is_all = False
    # By label and not by the newest run, so that rows keep their places.
    rows = sorted(rows[:most], key=lambda row: (row.label.lower(), row.tasks[0].pk))
    counts = bars_of_each(rows)
    for row in rows:
        if row.task is not None:
            counts[row.task.pk] = max(counts[row.task.pk], MAX_SQUARES)
    return News(rows=rows, is_all=is_all, runs=newest_of_each(using, counts))


def _first(using: str, tasks: list[Task], alone: Collection[int], *, is_all: bool) -> list[Task]:
    """Return tasks with problems, then those with the newest runs, and then others.

    Args:
        tasks: active tasks, the first ones.
        is_all: whether there are no others.
    """
    known = {task.pk: task for task in tasks}
    newest = Run.objects.using(using).order_by("-pk")[:MAX_RUNS_WALKED]
    run_lately = newest.values_list("task_id", flat=True)
    wanted = [key for key in dict.fromkeys([*alone, *run_lately]) if key is not None]
    if not is_all:
        unknown = [key for key in wanted[:MAX_TASKS_READ] if key not in known]
        known |= Task.objects.using(using).active().in_bulk(unknown)
    found = [known[key] for key in wanted if key in known]
    chosen = {task.pk for task in found}
    return [*found, *(task for task in tasks if task.pk not in chosen)][:MAX_TASKS_READ]
