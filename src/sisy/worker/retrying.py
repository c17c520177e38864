"""The retries of failed runs: exponential backoff with full jitter."""

import random
from datetime import timedelta

from sisy.models import Run, RunState

LARGEST_GROWTH = 1e9


def may_retry(run: Run, state: str) -> bool:
    """Return whether a run whose attempt ended in ``state`` has attempts left."""
    is_failure = state in (RunState.FAILED, RunState.TIMED_OUT)
    return is_failure and run.task is not None and _failures(run) < run.task.max_attempts


def retry_delay(run: Run) -> timedelta:
    """Return a random delay between zero and a maximum that grows with each failed attempt."""
    task = run.task
    assert task is not None
    try:
        growth = min(task.retry_backoff ** (_failures(run) - 1), LARGEST_GROWTH)
    except OverflowError:
        growth = LARGEST_GROWTH
    seconds = task.retry_delay.total_seconds() * growth
    longest = min(seconds, task.retry_max_delay.total_seconds())
    # Full jitter: runs that failed together, say in an outage, do not all come back together.
    return timedelta(seconds=random.uniform(0, longest))


def _failures(run: Run) -> int:
    # An attempt that was lost with its worker is not a failure of the function.
    return run.attempt - run.times_lost
