"""Gives runs their tasks, and locks the tasks whose runs must not go on side by side."""

from collections.abc import Callable, Collection, Iterable, Sequence

from django.db.models import QuerySet

from sisy.models import Origin, Overlap, Run, Task
from sisy.models.prepared import Keys, prepared

ONLY_ONCE = (Origin.ONCE, Origin.ENQUEUED)


def fetch_tasks(using: str, runs: Sequence[Run]) -> dict[int, Task]:
    """Give each run its task, as it is now; of a run whose task was deleted, that is None.

    Returns those that are locked, by key: tasks whose runs may not overlap, but for those that
    another worker has locked. What may overlap needs no lock, and others go on with it.
    """
    wanted = {run.task_id for run in runs if run.task_id is not None}
    # What runs once may overlap, unless somebody has changed that: it is read without a lock.
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
    """Give each run a task of its own, since functions change it, and side by side."""
    given: set[int] = set()
    for run in runs:
        task = tasks.get(run.task_id) if run.task_id is not None else None
        if task is None:
            run.task = None
            continue
        run.task = task.twin() if task.pk in given else task
        given.add(task.pk)
        if task.runs_once and not task.userdata:
            run.task.userdata = run.payload  # of many runs of one task, each brings its own
