"""The usual duration of runs: the median of those that succeeded. All reports use this one."""

import statistics
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Any

from sisy.models import Run, RunState
from sisy.reports.ledger import newest_by_task
from sisy.store.judging import latest_ended

MAX_RUNS_OF_A_TASK = 60  # newest runs of a task that are read
MAX_TASKS_READ = 200  # tasks whose runs are read task by task
MAX_RUNS_SAMPLED = 3000  # newest runs of all tasks, if there are more tasks


def usual(runs: Iterable[Run]) -> timedelta | None:
    """Return how long runs usually take; None if none of them succeeded."""
    took = (run.duration for run in runs if run.state == RunState.SUCCEEDED)
    return _median(duration for duration in took if duration is not None)


def percentile(values: Sequence[timedelta], share: float) -> timedelta:
    """Return the value below which a share of the sorted values is; 0 s without values."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else timedelta(0)


def usual_by_task(using: str, tasks: Collection[int]) -> dict[int, timedelta]:
    """Return how long runs of some tasks usually take, without tasks that have never succeeded.

    For up to `MAX_TASKS_READ` tasks, it reads the newest runs of each. For more tasks, it reads
    the newest runs of all together, so tasks that run rarely may be missing.
    """
    if len(tasks) > MAX_TASKS_READ:
        return usual_by(using, "task_id")
    columns = ("state", "started_at", "finished_at")
    runs = newest_by_task(using, tasks, MAX_RUNS_OF_A_TASK, columns=columns)
    return _known({task: usual(several) for task, several in runs.items()})


def usual_of_each(using: str, tasks: Collection[int]) -> dict[int, timedelta]:
    """Return how long runs of some tasks usually take, without tasks that have never succeeded.

    If the newest runs of a task have all failed, the last ones count that succeeded before.
    """
    known = usual_by_task(using, tasks)
    unknown = [task for task in tasks if task not in known]
    if not unknown:
        return known
    ended = latest_ended(using, dict.fromkeys(unknown, MAX_RUNS_OF_A_TASK), only_success=True)
    before = Run.objects.using(using).only("state", "started_at", "finished_at")
    runs = before.in_bulk([run.pk for several in ended.values() for run in several])
    earlier = {
        task: usual(runs[run.pk] for run in several if run.pk in runs)
        for task, several in ended.items()
    }
    return known | _known(earlier)


def usual_of(using: str, task: int) -> timedelta | None:
    """Return how long runs of a task usually take, as `usual_of_each` does; None if unknown."""
    return usual_of_each(using, [task]).get(task)


def usual_by(using: str, *columns: str) -> dict[Any, timedelta]:
    """Return how long the newest runs of all tasks usually took, by some columns of the run.

    Args:
        columns: the value of a single column is the key; for several, the tuple of their values.
    """
    newest = Run.objects.using(using).with_task().order_by("-pk")
    took: dict[Any, list[timedelta]] = defaultdict(list)
    rows = newest.values_list("state", "started_at", "finished_at", *columns)[:MAX_RUNS_SAMPLED]
    for state, started_at, finished_at, *key in rows:
        if state == RunState.SUCCEEDED and started_at and finished_at:
            took[key[0] if len(columns) == 1 else tuple(key)].append(finished_at - started_at)
    return _known({key: _median(spans) for key, spans in took.items()})


def _known(usual: dict[Any, timedelta | None]) -> dict[Any, timedelta]:
    return {key: duration for key, duration in usual.items() if duration is not None}


# Not the mean, because a single run that hung would change it a lot.
def _median(took: Iterable[timedelta]) -> timedelta | None:
    seconds = [each.total_seconds() for each in took]
    return timedelta(seconds=statistics.median(seconds)) if seconds else None
