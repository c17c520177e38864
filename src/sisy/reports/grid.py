"""The grid of the overview: a row for each task, with a square for each of its latest runs.

It never reads the whole ledger or all tasks. If there are more tasks than rows, it shows those
with problems, and then those with the newest runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import ngettext

from sisy.models import Alert, Run, RunState, Task
from sisy.records.choices import FAILED_STATES
from sisy.records.small_tables import TroubledRun
from sisy.reports import disclosure, formatting
from sisy.reports.ledger import newest_runs

MAX_ROWS = 30  # tasks
MAX_SQUARES = 40  # newest runs of each task
MAX_RUNS_WALKED = 1000  # newest runs of all tasks, whose tasks are shown if there are too many
MAX_TROUBLE_READ = 200  # newest failures
RECENTLY = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """One run, or a number of missed occurrences."""

    run: int
    state: str
    words: str

    @property
    def looks(self) -> str:
        return formatting.LOOKS.get(RunState(self.state), "quiet")


@dataclass(frozen=True, slots=True, kw_only=True)
class GridRow:
    """A task with its latest runs, the newest first."""

    task: Task
    squares: list[Square]

    @property
    def ended(self) -> int:
        """The number of runs that succeeded or failed."""
        counted = {RunState.SUCCEEDED, *FAILED_STATES}
        return sum(square.state in counted for square in self.squares)

    @property
    def succeeded(self) -> int:
        return sum(square.state == RunState.SUCCEEDED for square in self.squares)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The rows of the grid.

    Attributes:
        is_all: whether all active tasks have a row.
    """

    rows: list[GridRow]
    is_all: bool


def grid(using: str, now: datetime, *, in_full: bool) -> Grid:
    """Return the latest runs of up to `MAX_ROWS` tasks.

    Args:
        in_full: whether the texts of errors may be shown; see `sisy.reports.disclosure`.
    """
    tasks, is_all = _tasks(using, now)
    runs: dict[int | None, list[Run]] = {task.pk: [] for task in tasks}
    newest = newest_runs(using, list(filter(None, runs)), MAX_SQUARES)
    for run in newest.defer("payload", "result", "error", "label", "target_path"):
        if run.state != RunState.QUEUED or run.ready_at <= now:  # not those planned ahead
            runs[run.task_id].append(run)
    rows = [
        GridRow(
            task=task,
            squares=[_square(run, in_full=in_full) for run in runs[task.pk]],
        )
        for task in tasks
    ]
    return Grid(rows=rows, is_all=is_all)


def _tasks(using: str, now: datetime) -> tuple[list[Task], bool]:
    """Return the tasks that have a row, and whether these are all active ones."""
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


def _square(run: Run, *, in_full: bool) -> Square:
    moment = formatting.short(run.moment)
    parts = [str(run.get_state_display()), moment, formatting.span(run.duration)]
    if run.count > 1:
        parts.insert(1, ngettext("%d occurrence", "%d occurrences", run.count) % run.count)
    parts.append(disclosure.reason_of(run, in_full=in_full)[:120])
    words = " · ".join(part for part in parts if part and part != formatting.NOTHING)
    return Square(run=run.pk, state=run.state, words=words)
