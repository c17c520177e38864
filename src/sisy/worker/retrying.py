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
    """Return a random part of the delay that doubles (by default) with each failed attempt."""
    task = run.task
    assert task is not None
    try:
        growth = min(task.retry_backoff ** (_failures(run) - 1), LARGEST_GROWTH)
    except OverflowError:
        growth = LARGEST_GROWTH
    seconds = task.retry_delay.total_seconds() * growth
    longest = min(seconds, task.retry_max_delay.total_seconds())
    return timedelta(seconds=random.uniform(0, longest))


def _failures(run: Run) -> int:
    return run.attempt - run.times_lost
