"""The trend of the duration and the delay of a task's newest runs, and its outliers.

Each point represents about the same number of consecutive runs. So a task that rarely runs has no
gaps between its points, and those of a busy task reach back as far as is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from sisy.models import Run, Task
from sisy.reports import formatting
from sisy.reports.durations import percentile

MAX_RUNS_READ = 1000  # newest runs, including those that were never started
MAX_POINTS = 60
MAX_OUTLIERS = 20
LEAST_RUNS = 8  # fewer have no outliers
FENCE = 3  # times the distance between the quartiles: Tukey's bound for outliers
LEAST_EXCESS = timedelta(seconds=1)

COLUMNS = ("pk", "state", "ready_at", "started_at", "finished_at")


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that has started and ended. A thousand of them are read faster than rows of the model.

    Attributes:
        duration: see `Run.duration`.
        lateness: see `Run.lateness`.
    """

    pk: int
    state: str
    started_at: datetime
    duration: timedelta
    lateness: timedelta

    @property
    def state_in_words(self) -> str:
        return formatting.name_of_state(self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """The median of some values, and their 95th percentile; None for a single value."""

    median: timedelta
    high: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Successive runs.

    Attributes:
        at: when the last of them started.
        count: how many they are.
        took: their duration.
        late: their delay.
    """

    at: datetime
    count: int
    took: Spread
    late: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The trend of the newest runs that have started and ended, in the order of their starts.

    Attributes:
        slow: the runs that took far longer than the others.
        late: the runs that started far later than the others.
        runs: the number of runs.
    """

    points: list[Point]
    slow: list[EndedRun]
    late: list[EndedRun]
    runs: int


def trend_of(using: str, task: Task) -> Trend:
    """Return the trend of a task."""
    newest = Run.objects.using(using).filter(task=task).order_by("-pk").values_list(*COLUMNS)
    # Filtered here, so that a long series of missed or skipped occurrences is not read.
    runs = [
        EndedRun(pk, state, started, max(timedelta(0), finished - started), started - ready)
        for pk, state, ready, started, finished in newest[:MAX_RUNS_READ]
        if started is not None and finished is not None
    ]
    # A retried run starts after runs that were planned later.
    runs.sort(key=lambda run: (run.started_at, run.pk))
    return Trend(
        points=points_of(runs),
        slow=_outliers(runs, "duration"),
        late=_outliers(runs, "lateness"),
        runs=len(runs),
    )


def points_of(runs: Sequence[EndedRun]) -> list[Point]:
    """Return the points of runs that have started and ended, in the order of their starts."""
    size = max(1, -(-len(runs) // MAX_POINTS))
    # The newest point is full, so that it does not depend on a single run.
    first = len(runs) % size
    edges = [*([0] if first else []), *range(first, len(runs), size), len(runs)]
    return [_point(runs[start:end]) for start, end in pairwise(edges)]


def _point(runs: Sequence[EndedRun]) -> Point:
    return Point(
        at=runs[-1].started_at,
        count=len(runs),
        took=_spread(runs, "duration"),
        late=_spread(runs, "lateness"),
    )


def _spread(runs: Sequence[EndedRun], measure: str) -> Spread:
    values = sorted(getattr(run, measure) for run in runs)
    high = percentile(values, 0.95) if len(values) > 1 else None
    return Spread(median=percentile(values, 0.5), high=high)


def _outliers(runs: Sequence[EndedRun], measure: str) -> list[EndedRun]:
    """Return the runs whose values are outliers, the largest ones, in the order of starts."""
    if len(runs) < LEAST_RUNS:
        return []
    values = sorted(getattr(run, measure) for run in runs)
    low, median, high = (percentile(values, share) for share in (0.25, 0.5, 0.75))
    bound = max(high + FENCE * (high - low), 2 * median, median + LEAST_EXCESS)
    far = [run for run in runs if getattr(run, measure) > bound]
    far.sort(key=lambda run: getattr(run, measure))
    largest = far[-MAX_OUTLIERS:]
    return [run for run in runs if run in largest]
