"""The latest runs of tasks as squares, and what they add up to: success rate and durations.

The grid of the overview and the list of tasks show the same squares.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import ngettext

from sisy.models import Run, RunState, Task
from sisy.records.choices import FAILED_STATES
from sisy.reports import disclosure, formatting
from sisy.reports.durations import percentile, usual
from sisy.reports.ledger import by_occurrence, newest_by_task

MAX_SQUARES = 40  # newest runs of each task
MAX_REASON = 120  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """One run, or a number of missed occurrences."""

    run: int
    state: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestRuns:
    """The latest runs of a task, without those planned ahead.

    Attributes:
        squares: the latest occurrence first.
        newest: the run that was planned last.
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
    using: str, tasks: Iterable[Task], now: datetime, *, in_full: bool
) -> dict[int, LatestRuns]:
    """Return up to `MAX_SQUARES` latest runs of each task, by its key.

    Args:
        in_full: whether the texts of errors may be shown; see `sisy.reports.disclosure`.
    """
    newest = newest_by_task(using, [task.pk for task in tasks], MAX_SQUARES)
    return in_squares(newest, now, in_full=in_full)


def in_squares(
    newest: Mapping[int, Sequence[Run]], now: datetime, *, in_full: bool
) -> dict[int, LatestRuns]:
    """Return the same for runs that have been read: the newest ones of each task, by its key."""
    # Once for all squares: each ``get_state_display()`` translates all states.
    names = {value: str(name) for value, name in RunState.choices}

    def square(run: Run) -> Square:
        moment = formatting.brief(run.moment, now)
        parts = [names.get(run.state, run.state), moment, formatting.span(run.duration)]
        if run.count > 1:
            parts.insert(1, ngettext("%d occurrence", "%d occurrences", run.count) % run.count)
        parts.append(disclosure.reason_of(run, in_full=in_full)[:MAX_REASON])
        words = " · ".join(part for part in parts if part and part != formatting.NOTHING)
        return Square(run=run.pk, state=run.state, words=words)

    return {
        key: _summary([run for run in runs[:MAX_SQUARES] if not _is_ahead(run, now)], square)
        for key, runs in newest.items()
    }


def _is_ahead(run: Run, now: datetime) -> bool:
    return run.state == RunState.QUEUED and run.ready_at > now


def _summary(runs: list[Run], square: Callable[[Run], Square]) -> LatestRuns:
    counted = {RunState.SUCCEEDED, *FAILED_STATES}
    ended = [run for run in runs if run.state in counted]
    took = sorted(run.duration for run in ended if run.duration is not None)
    return LatestRuns(
        squares=[square(run) for run in by_occurrence(runs)],
        newest=runs[0] if runs else None,
        ended=len(ended),
        succeeded=sum(run.state == RunState.SUCCEEDED for run in ended),
        usual=usual(ended),
        slow=percentile(took, 0.95) if took else None,
    )
