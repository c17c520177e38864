"""Create tasks."""

from datetime import datetime
from typing import Any, Unpack

from django.db import router

from sisy.callables import Callee
from sisy.models.task import Task
from sisy.planning.declarations import Policies


def task_with_callable(
    callable: Callee,  # noqa: A002 - the public name since Sisy 1.0
    label: str | None = None,
    schedule: str | None = None,
    userdata: dict[str, Any] | None = None,
    pk_override: object = None,
    *,
    start_running: datetime | None = None,
    end_running: datetime | None = None,
    iterations: int | None = None,
    timezone: str | None = None,
    queue: str | None = None,
    **policies: Unpack[Policies],
) -> Task:
    """Return a task that calls ``callable`` on its schedule, active once you ``save()`` it.

    Args:
        callable: a function, class method, static method, or the method of a saved model
            instance; or the dotted path of one. It takes one parameter, ``message``.
        label: by default, the path.
        schedule: by default ``SISY_DEFAULT_SCHEDULE``, every minute.
        userdata: what JSON can hold; empty by default.
        pk_override: by path only: the primary key of the object whose method is called. No
            database is asked for it, so that this works in data migrations.
        start_running: an aware moment before which it does not run.
        end_running: an aware moment from which on it does not run; the task is then deleted.
        iterations: after so many runs the task is deleted; for ever by default.
        timezone: in which the schedule is read; by default Django's ``TIME_ZONE``.
        queue: which workers run it; ``default`` by default.
        policies: any policy of a task, such as ``overlap``.

    Raises:
        CallableError: ``callable`` cannot be called by a worker; the message names the cure.
        TypeError: a task has no such field.
        ValueError: ``userdata`` is not a dict that JSON can hold. Other values are checked by
            ``save()``.
    """
    return Task.calling(
        callable,
        pk_override=pk_override,
        label=label,
        schedule=schedule,
        userdata=userdata,
        start_running=start_running,
        end_running=end_running,
        iterations=iterations,
        timezone=timezone,
        queue=queue,
        **policies,
    )


def taskinfo_with_label(label: str) -> dict[str, Any]:
    """Return what the task with this label calls, as a dict of its parts.

    Raises:
        Task.DoesNotExist: no task bears the label.
        Task.MultipleObjectsReturned: several do.
        TargetMissing: what it calls no longer exists.
    """
    return Task.objects.using(router.db_for_write(Task)).get(label=label).target.info()
