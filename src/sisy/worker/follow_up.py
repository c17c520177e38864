"""Update tasks after their runs have ended: show broken targets, and delete retired tasks."""

from collections.abc import Sequence
from datetime import datetime

from sisy.exceptions import ObjectMissing
from sisy.lifecycle.task_state import broken
from sisy.models import Run, RunState, Task, TaskState
from sisy.models.task_queries import delete_ended_of
from sisy.runtime.checkpoint import checkpoint
from sisy.runtime.log import log_named, logger
from sisy.store.isolation import past_deadlocks
from sisy.store.outcomes import Ended
from sisy.store.retired import any_retired
from sisy.worker.missing_code import is_to_be_released

tasks = log_named("sisy.tasks")

MAX_ORPHANED_RUNS = 3  # in a row, until their task is broken
MAX_RUNS_READ = 50  # the newest runs of a task; those that never started are ignored
STARTED_STATES = (RunState.SUCCEEDED, RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)
OBJECT_MISSING = f"{ObjectMissing.__module__}.{ObjectMissing.__qualname__}"
ORPHANED_REASON = (
    "The task calls a method of an object that was deleted, so its last "
    f"{MAX_ORPHANED_RUNS} runs failed. "
    "Delete the task, set another function (target_path), or restore the object and resume the "
    "task."
)


def follow_up(using: str, stored: Ended[Run], now: datetime) -> None:
    """Update the tasks of runs whose outcomes are stored.

    What fails is logged. It is done after the task's next run, or by a heartbeat.
    """
    # In transactions of its own. Code that deletes a task locks the task before its runs. In the
    # transaction that has locked the runs, this would be a deadlock.
    try:
        past_deadlocks(_note_targets, using, stored, now)
        past_deadlocks(_set_orphaned_broken, using, stored)
        checkpoint("retire: task not deleted")
        past_deadlocks(_delete_ended, using, [run for run, _ in stored])
        checkpoint("retire: task deleted")
    except Exception as error:  # noqa: BLE001 - the outcomes are stored already
        logger.warning(
            "Could not clean up after finished runs (%s); a heartbeat will do it", error
        )


def _note_targets(using: str, stored: Ended[Run], now: datetime) -> None:
    """Store on each task whether its target can be called, for the dashboard and the admin."""
    for run, outcome in stored:
        task = run.task
        if task is None or is_to_be_released(run, outcome, now):
            continue
        target_error = outcome.reason if outcome.target_is_broken else ""
        if task.target_error != target_error:
            Task.objects.using(using).filter(pk=task.pk).update(target_error=target_error)


def _set_orphaned_broken(using: str, stored: Ended[Run]) -> None:
    """Mark the tasks whose object was deleted as broken."""
    for run, outcome in stored:
        if outcome.error_class != OBJECT_MISSING or run.task is None:
            continue
        task = Task.objects.using(using).filter(pk=run.task.pk, state=TaskState.ACTIVE)
        if _is_orphaned(using, run.task.pk) and broken(ORPHANED_REASON).write(task):
            tasks.error("%s is broken: %s", run.task, ORPHANED_REASON, extra={"task": run.task.pk})


def _is_orphaned(using: str, task: int) -> bool:
    """Return whether the last runs of a task all failed because its object was deleted."""
    newest = Run.objects.using(using).filter(task=task).order_by("-pk")
    rows = newest.values_list("state", "error_class")[:MAX_RUNS_READ]
    last = [error for state, error in rows if state in STARTED_STATES][:MAX_ORPHANED_RUNS]
    return last == [OBJECT_MISSING] * MAX_ORPHANED_RUNS


def _delete_ended(using: str, runs: Sequence[Run]) -> None:
    """Delete the retired ones of the tasks that have no run left."""
    pks = list({run.task_id for run in runs if run.task_id is not None})
    # Check first: most tasks stay, and their locks would make others wait.
    if any_retired(using, pks):
        delete_ended_of(Task.objects.using(using), pks)
