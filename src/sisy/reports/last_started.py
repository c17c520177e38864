"""The latest run of each task that has started: when, and what came of it."""

from collections.abc import Collection

from sisy.models import Run
from sisy.reports.ledger import newest_by_task

STEPS = (5, 100)
"""The newest runs of a task that are read, and if none of them has started, that are read then."""

TASKS_AT_ONCE = 500


def last_started(using: str, tasks: Collection[int]) -> dict[int, Run]:
    """Return the latest run of each task that has started, by the key of the task.

    Occurrences that are queued, or that were missed, skipped or cancelled, did not start. A task
    is left out if none of its `STEPS` newest runs has started.
    """
    found: dict[int, Run] = {}
    for count in STEPS:
        missing = [task for task in tasks if task not in found]
        for start in range(0, len(missing), TASKS_AT_ONCE):
            some = missing[start : start + TASKS_AT_ONCE]
            for task, runs in newest_by_task(using, some, count).items():
                started = [run for run in runs if run.started_at is not None]
                if started:
                    found[task] = max(started, key=lambda run: (run.started_at, run.pk))
    return found
