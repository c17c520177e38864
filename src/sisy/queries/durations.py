"""How long runs usually take: one definition, for every page that says so."""

import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import timedelta

from sisy.models import Run, RunState
from sisy.queries.latest import newest_runs

NEWEST = 60
"""So many of a task's newest runs say how long they usually take."""


def usual_durations(using: str, tasks: Collection[int]) -> dict[int, timedelta]:
    """Return how long runs of some tasks usually take; those are left out that have none."""
    runs: dict[int, list[Run]] = defaultdict(list)
    columns = ("task", "state", "started_at", "finished_at")
    for run in newest_runs(using, tasks, NEWEST).only(*columns):
        if run.task_id is not None:
            runs[run.task_id].append(run)
    usual = {task: usual_duration(several) for task, several in runs.items()}
    return {task: duration for task, duration in usual.items() if duration is not None}


def usual_duration(runs: Iterable[Run]) -> timedelta | None:
    """Return the median of how long runs took that succeeded; None if there is none."""
    took = (run.duration for run in runs if run.state == RunState.SUCCEEDED)
    return median(duration for duration in took if duration is not None)


def median(took: Iterable[timedelta]) -> timedelta | None:
    """Return the middle one: a run that hung once changes it as little as an early end does."""
    seconds = [each.total_seconds() for each in took]
    return timedelta(seconds=statistics.median(seconds)) if seconds else None
