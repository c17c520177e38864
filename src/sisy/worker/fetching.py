"""Fetch the tasks of claimed runs, and lock the tasks whose runs must not overlap."""

from collections.abc import Callable, Collection, Iterable, Sequence

from django.db.models import QuerySet

from sisy.models import Origin, Overlap, Run, Task
from sisy.models.prepared import Keys, prepared

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
    locked = _lock_alone(using, suspects)
    tasks = _found(using, _of_these, wanted - locked.keys())
    locked |= _lock_alone(using, {pk for pk in tasks.keys() - suspects if _is_alone(tasks[pk])})
    _give(runs, tasks | locked)
    return locked


def _lock_alone(using: str, pks: Collection[int]) -> dict[int, Task]:
    return _found(using, _alone, pks)


def _alone(pks: list[int]) -> "QuerySet[Task]":
    alone = Task.objects.filter(pk__in=pks).exclude(overlap=Overlap.ALLOW)
    return alone.order_by("pk").select_for_update(skip_locked=True)


def _of_these(pks: list[int]) -> "QuerySet[Task]":
    return Task.objects.filter(pk__in=pks).order_by()


def _found(
    using: str, build: "Callable[[list[int]], QuerySet[Task]]", pks: Collection[int]
) -> dict[int, Task]:
    if not pks:
        return {}
    query = prepared(build, using, pks=Keys)
    return {task.pk: task for task in query.records(pks=list(pks))}


def _is_alone(task: Task) -> bool:
    return task.overlap != Overlap.ALLOW


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
