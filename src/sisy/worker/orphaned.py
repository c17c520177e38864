"""Mark tasks as broken if they call a method of an object that was deleted.

Missing code may come back with the next deploy, so its task stays active. A deleted object does
not come back: no run of its task can succeed.
"""

from sisy.exceptions import ObjectMissing
from sisy.models import Run, RunState, Task, TaskState
from sisy.runtime.log import log_named
from sisy.store.outcomes import Ended

tasks = log_named("sisy.tasks")

FAILURES = 3  # in a row
MAX_RUNS_READ = 50  # the newest runs of a task; those that never started are ignored
BEGUN = (RunState.SUCCEEDED, RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)
OBJECT_MISSING = f"{ObjectMissing.__module__}.{ObjectMissing.__qualname__}"
REASON = (
    f"The task calls a method of an object that was deleted, so its last {FAILURES} runs failed. "
    "Delete the task, give it another target, or restore the object and resume the task."
)


def set_orphans_aside(using: str, ended: Ended) -> None:
    """Mark the tasks of these runs as broken if their object is gone for good."""
    for run, outcome in ended:
        if outcome.error_class != OBJECT_MISSING or run.task is None:
            continue
        task = Task.objects.using(using).filter(pk=run.task.pk, state=TaskState.ACTIVE)
        if _has_failed_for_good(using, run.task.pk) and task.update(
            state=TaskState.BROKEN, state_reason=REASON, next_run=None
        ):
            tasks.error("%s is broken: %s", run.task, REASON, extra={"task": run.task.pk})


def _has_failed_for_good(using: str, task: int) -> bool:
    newest = Run.objects.using(using).filter(task=task).order_by("-pk")
    rows = newest.values_list("state", "error_class")[:MAX_RUNS_READ]
    last = [error for state, error in rows if state in BEGUN][:FAILURES]
    return last == [OBJECT_MISSING] * FAILURES
