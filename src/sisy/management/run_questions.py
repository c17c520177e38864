"""The questions that ``sisy_runs`` asks before it retries or cancels runs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import tzinfo

from django.utils import timezone
from django.utils.translation import ngettext

from sisy.models import Run, RunState
from sisy.reports import formatting
from sisy.reports.repeats import repeated_in_words
from sisy.runtime.durations import in_zone

MAX_RUNS_NAMED = 5
MAX_TASKS_NAMED = 3


def before_retry(runs: Sequence[Run]) -> str:
    """Return what a retry of runs does."""
    what = ngettext("This retries %d run", "This retries %d runs", len(runs)) % len(runs)
    return (
        f"{what}: {_by_state(runs)}. {_tasks_of(runs)} Each is submitted again, with the same "
        "input, in addition to the schedule."
    )


def before_another_retry(repeats: Mapping[int, Run]) -> str:
    """Return which runs were retried or backfilled already, and what came of it.

    Args:
        repeats: by the key of a run, the newest run that repeats it.
    """
    named = repeated_in_words(repeats)
    more = len(named[MAX_RUNS_NAMED:])
    words = ngettext("%d more run was already rerun.", "%d more runs were already rerun.", more)
    return " ".join([*named[:MAX_RUNS_NAMED], *([words % more] if more else [])])


def left_out(number: int) -> str:
    """Return how many runs were retried or backfilled already."""
    words = ngettext(
        "Left out %d run that was already retried or backfilled.",
        "Left out %d runs that were already retried or backfilled.",
        number,
    )
    return words % number


def nothing_to_cancel(named: Sequence[Run]) -> str:
    """Return that no run can be cancelled, and how those that were named ended."""
    zone = timezone.get_default_timezone()
    ended = [_end_of(run, zone) for run in named[:MAX_RUNS_NAMED]]
    if more := len(named[MAX_RUNS_NAMED:]):
        ended.append(ngettext("%d more run has ended", "%d more runs have ended", more) % more)
    return f"No runs to cancel: {', '.join(ended)}." if ended else "No runs to cancel."


def _end_of(run: Run, zone: tzinfo) -> str:
    passive = run.state in (RunState.CANCELLED, RunState.LOST, RunState.MISSED, RunState.SKIPPED)
    words = f"run {run.pk} {'was ' if passive else ''}{run.get_state_display()}"
    return f"{words} at {in_zone(run.finished_at, zone)}" if run.finished_at else words


def _by_state(runs: Sequence[Run]) -> str:
    """Return how many runs are in each state, such as "2 failed, 1 lost"."""
    counts = Counter(str(run.get_state_display()) for run in runs)
    return ", ".join(f"{number:,} {state}" for state, number in counts.most_common())


def before_cancel(runs: Sequence[Run], *, by_force: bool) -> str:
    """Return what a cancellation of runs does.

    Args:
        by_force: whether runs in a process pool are killed.
    """
    queued = sum(run.state == RunState.QUEUED for run in runs)
    running = len(runs) - queued
    parts = []
    if queued:
        parts.append(ngettext("cancels %d queued run", "cancels %d queued runs", queued) % queued)
    if running:
        ends = "kills %d running run", "kills %d running runs"
        asks = "asks %d running run to stop", "asks %d running runs to stop"
        parts.append(ngettext(*(ends if by_force else asks), running) % running)
    return f"This {' and '.join(parts)}. {_tasks_of(runs)}"


def _tasks_of(runs: Sequence[Run]) -> str:
    """Return a sentence with the tasks that have most of some runs, and how many each has."""
    labels = Counter(run.label for run in runs)
    if len(labels) == 1:
        return f"Task: {runs[0].label!r}."
    counted = [f"{label!r} ({number:,})" for label, number in labels.most_common()]
    return f"Tasks: {formatting.first_of(counted, most=MAX_TASKS_NAMED)}."
