"""The latest runs of tasks as squares, and what they add up to: success rate and durations.

The grid of the overview and the list of tasks show the same squares.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter

from django.utils.translation import ngettext

from sisy.models import Run, RunState
from sisy.records.choices import FAILED_STATES
from sisy.reports import disclosure, formatting
from sisy.reports.durations import percentile, usual
from sisy.reports.gravity import gravest
from sisy.reports.ledger import by_occurrence, newest_of_each
from sisy.reports.task_rows import TaskRow

MAX_SQUARES = 40  # newest runs of each task
MAX_SHARED_RUNS = 1200  # newest runs of all tasks together that share rows
MIN_RUNS = 15  # of each of these tasks
MAX_REASON = 120  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """One run, a number of missed occurrences, or runs of several tasks that were due together.

    Attributes:
        run: the run, or the one of several whose state is the most severe.
    """

    run: int
    state: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestRuns:
    """The latest runs of a task, without those planned ahead.

    Attributes:
        squares: the latest occurrence first.
        newest: the run of the latest occurrence, whose square is the first.
        ended: the number of runs that succeeded or failed.
        usual: the median duration; None if no run succeeded.
        slow: the 95th percentile of the duration; None if no run succeeded or failed.
    """

    squares: list[Square]
    newest: Run | None
    ended: int
    succeeded: int
    usual: timedelta | None
    slow: timedelta | None

    @property
    def success(self) -> str:
        """The success rate as a percentage; a dash if no run ended."""
        if not self.ended:
            return formatting.NOTHING
        return formatting.percent(100 * self.succeeded / self.ended)


def latest_runs(
    using: str, rows: Sequence[TaskRow], now: datetime, *, in_full: bool
) -> dict[str, LatestRuns]:
    """Return up to `MAX_SQUARES` latest runs of each row, by its key.

    Args:
        in_full: whether the texts of errors may be shown; see `sisy.reports.disclosure`.
    """
    shared = sum(len(row.tasks) for row in rows if row.task is None)
    share = max(MIN_RUNS, min(MAX_SQUARES, MAX_SHARED_RUNS // max(1, shared)))
    counts = {task.pk: MAX_SQUARES if row.task else share for row in rows for task in row.tasks}
    return of_rows(rows, newest_of_each(using, counts), now, in_full=in_full)


def of_rows(
    rows: Iterable[TaskRow], newest: Mapping[int, Sequence[Run]], now: datetime, *, in_full: bool
) -> dict[str, LatestRuns]:
    """Return the same for runs that have been read.

    Args:
        newest: the newest runs of each task, by its key.
    """
    square = _square_of(now, in_full)
    found = {}
    for row in rows:
        runs = by_occurrence(run for task in row.tasks for run in _begun(newest[task.pk], now))
        squared = [[run] for run in runs]
        if row.task is None:
            squared = [list(each) for _, each in groupby(runs, attrgetter("moment"))]
        found[row.key] = _summary(squared[:MAX_SQUARES], square)
    return found


def _begun(runs: Sequence[Run], now: datetime) -> list[Run]:
    """Return the newest runs without those planned ahead."""
    return [
        run for run in runs[:MAX_SQUARES] if run.state != RunState.QUEUED or run.ready_at <= now
    ]


def _square_of(now: datetime, in_full: bool) -> Callable[[list[Run]], Square]:
    # Once for all squares: each ``get_state_display()`` translates all states.
    names = {value: str(name) for value, name in RunState.choices}

    def square(runs: list[Run]) -> Square:
        run = gravest(runs)
        moment = formatting.brief(run.moment, now)
        if len(runs) > 1:
            states = Counter(each.state for each in runs)
            parts = [", ".join(formatting.counted_states(states)), moment]
        else:
            parts = [names.get(run.state, run.state), moment, formatting.span(run.duration)]
            if run.count > 1:
                parts.insert(1, ngettext("%d occurrence", "%d occurrences", run.count) % run.count)
        parts.append(disclosure.reason_of(run, in_full=in_full)[:MAX_REASON])
        words = " · ".join(part for part in parts if part and part != formatting.NOTHING)
        return Square(run=run.pk, state=run.state, words=words)

    return square


def _summary(squared: list[list[Run]], square: Callable[[list[Run]], Square]) -> LatestRuns:
    """Return what the runs of some squares add up to.

    Args:
        squared: the runs of each square, the latest first.
    """
    runs = [run for each in squared for run in each]
    counted = {RunState.SUCCEEDED, *FAILED_STATES}
    ended = [run for run in runs if run.state in counted]
    took = sorted(run.duration for run in ended if run.duration is not None)
    return LatestRuns(
        squares=[square(each) for each in squared],
        newest=runs[0] if runs else None,
        ended=len(ended),
        succeeded=sum(run.state == RunState.SUCCEEDED for run in ended),
        usual=usual(ended),
        slow=percentile(took, 0.95) if took else None,
    )
