"""Fetch the tasks of claimed runs, and lock the tasks whose runs must not overlap."""

from collections.abc import Iterable, Sequence

from sisy.models import Origin, Overlap, Run, Task
from sisy.store.claims import lock_exclusive_tasks, tasks

ONLY_ONCE = (Origin.ONCE, Origin.ENQUEUED)


def fetch_tasks(using: str, runs: Sequence[Run]) -> dict[int, Task]:
    """Set the current task of each run, or None if the task was deleted.

    Returns the tasks that this call has locked, by key: those whose runs must not overlap, except
    tasks that another worker has locked.
    """
    wanted = {run.task_id for run in runs if run.task_id is not None}
    # Tasks that run once usually allow overlap. Read them without a lock first, and lock only
    # those that turn out to forbid it, so that workers do not block each other.
    suspects = wanted & {run.task_id for run in runs if run.origin not in ONLY_ONCE}
    locked = lock_exclusive_tasks(using, Task, suspects)
    others = tasks(using, Task, wanted - locked.keys())
    exclusive = {pk for pk in others.keys() - suspects if others[pk].overlap != Overlap.ALLOW}
    locked |= lock_exclusive_tasks(using, Task, exclusive)
    _give(runs, others | locked)
    return locked


def _give(runs: Iterable[Run], tasks: dict[int, Task]) -> None:
    """Give each run its own task object."""
    # Functions may change their task, and several runs of a task may execute at the same time.
    given: set[int] = set()
    for run in runs:
        task = tasks.get(run.task_id) if run.task_id is not None else None
        if task is None:
            run.task = None
            continue
        run.task = task.twin() if task.pk in given else task
        given.add(task.pk)
        if task.runs_once and not task.userdata:
            # A task that many runs share, as with enqueue(): each run carries its own data.
            run.task.userdata = run.payload
