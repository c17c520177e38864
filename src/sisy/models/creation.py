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
    """Return a task that calls ``callable`` on its schedule. It is active once you ``save()`` it.

    Args:
        callable: a function, class method, static method, or the method of a saved model
            instance; or the dotted path of one. It takes one parameter, ``message``.
        label: the name to display; by default the path.
        schedule: by default ``SISY_DEFAULT_SCHEDULE``, every minute.
        userdata: data for the function, as JSON; empty by default.
        pk_override: the primary key of the object whose method is called, if you pass a path. It
            is not looked up, so this works in data migrations.
        start_running: an aware moment; the task does not run before it.
        end_running: an aware moment; the task does not run at or after it, and is then deleted.
        iterations: the number of runs, after which the task is deleted; no limit by default.
        timezone: the time zone of the schedule; by default Django's ``TIME_ZONE``.
        queue: the queue of the task's runs; ``default`` by default.
        policies: any policy of a task, such as ``overlap``.

    Raises:
        CallableError: a worker cannot call ``callable``; the message says how to fix it.
        TypeError: a task has no such field.
        ValueError: ``userdata`` is not a dict, or JSON cannot represent it. ``save()`` checks the
            other values.
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
        Task.DoesNotExist: no task has this label.
        Task.MultipleObjectsReturned: several tasks have it.
        TargetMissing: its target no longer exists.
    """
    return Task.objects.using(router.db_for_write(Task)).get(label=label).target.info()
