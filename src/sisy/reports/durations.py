"""The usual duration of runs: one definition for all pages."""

import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Any

from sisy.models import Run, RunState
from sisy.reports.latest import newest_runs

MAX_RUNS_OF_A_TASK = 60
"""So many of a task's newest runs say how long they usually take."""

MAX_RUNS_SAMPLED = 3000
"""So many runs, the newest of all tasks, say it where all tasks are looked at together."""


def usual_durations(using: str, tasks: Collection[int]) -> dict[int, timedelta]:
    """Return how long runs of some tasks usually take; those are left out that have none."""
    runs: dict[int, list[Run]] = defaultdict(list)
    columns = ("task", "state", "started_at", "finished_at")
    for run in newest_runs(using, tasks, MAX_RUNS_OF_A_TASK).only(*columns):
        if run.task_id is not None:
            runs[run.task_id].append(run)
    usual = {task: usual_duration(several) for task, several in runs.items()}
    return {task: duration for task, duration in usual.items() if duration is not None}


def recent_durations(using: str, *columns: str) -> dict[Any, timedelta]:
    """Return how long the newest runs of all tasks usually took, by some columns of the run.

    Args:
        columns: of one, its value is the key; of several, the tuple of their values.
    """
    newest = Run.objects.using(using).exclude(task=None).order_by("-pk")
    took: dict[Any, list[timedelta]] = defaultdict(list)
    rows = newest.values_list("state", "started_at", "finished_at", *columns)[:MAX_RUNS_SAMPLED]
    for state, started_at, finished_at, *key in rows:
        if state == RunState.SUCCEEDED and started_at and finished_at:
            took[key[0] if len(columns) == 1 else tuple(key)].append(finished_at - started_at)
    usual = {key: median(spans) for key, spans in took.items()}
    return {key: duration for key, duration in usual.items() if duration is not None}


def usual_duration(runs: Iterable[Run]) -> timedelta | None:
    """Return the median of how long runs took that succeeded; None if there is none."""
    took = (run.duration for run in runs if run.state == RunState.SUCCEEDED)
    return median(duration for duration in took if duration is not None)


def median(took: Iterable[timedelta]) -> timedelta | None:
    """Return the middle one: a run that hung once changes it as little as an early end does."""
    seconds = [each.total_seconds() for each in took]
    return timedelta(seconds=statistics.median(seconds)) if seconds else None
