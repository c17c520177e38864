"""Submit runs of enqueued tasks."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from django.db import router
from django.db.transaction import TransactionManagementError

from sisy import clock
from sisy.callables import task_at
from sisy.django_tasks.compat import AnyTask, InvalidTask
from sisy.django_tasks.payload import Payload
from sisy.exceptions import did_you_mean
from sisy.lifecycle.submit import open_elsewhere, store_once
from sisy.models import Origin, Run, Task
from sisy.records.task_fields import BACKEND_OPTIONS, TASK_FIELDS
from sisy.records.validators import json_dict, moment_in
from sisy.runtime.worker_options import queue_name


def submit(
    task: AnyTask, args: list[Any], kwargs: dict[str, Any], options: Mapping[str, Any]
) -> Run:
    """Submit a run of ``task``, and return it; call `execute_if_eager` afterwards.

    Raises:
        InvalidTask: a worker could not call the task, or the queue name is not valid.
        TransactionManagementError: a transaction is open on another database. If it were rolled
            back, the run would remain.
        ValueError: the database cannot store an argument.
    """
    using = router.db_for_write(Task)
    for alias in open_elsewhere(using):
        raise TransactionManagementError(
            f"{task.module_path} is enqueued in a transaction on {alias!r}, but its run would be "
            f"stored in {using!r} and would survive a rollback. Enqueue it after the commit: "
            f"transaction.on_commit(partial(task.enqueue, …), using={alias!r})."
        )
    run_after = task.run_after and moment_in(task.run_after, "run_after")
    payload = Payload(args=args, kwargs=kwargs, backend=task.backend, run_after=run_after)
    stored = json_dict(payload.stored(), "arguments")
    try:
        queue_name(task.queue_name)
        task_at(task.module_path)
        once = Task.for_once(
            task,
            origin=Origin.ENQUEUED,
            queue=task.queue_name,
            priority=int(task.priority),
            **options,
        )
    except ValueError as error:
        raise InvalidTask(str(error)) from error
    now = clock.now(using)
    ready_at = now if run_after is None else max(now, run_after)
    [run] = store_once(once, [stored], now, ready_at, using)
    return cast("Run", run)


def problems(queues: Collection[str], options: Any) -> Iterator[str]:
    """Yield an error for each invalid queue or option."""
    for queue in queues:
        try:
            queue_name(queue)
        except ValueError as error:
            yield str(error)
    if not isinstance(options, Mapping):
        yield f"OPTIONS must be a dict, not {type(options).__name__}."
        return
    for name, value in options.items():
        if name not in BACKEND_OPTIONS:
            hint, valid = did_you_mean(str(name), BACKEND_OPTIONS), ", ".join(BACKEND_OPTIONS)
            yield f"Unknown option {name!r} in OPTIONS.{hint} Valid options: {valid}."
            continue
        try:
            TASK_FIELDS[name].check(Task(**{name: value}))
        except ValueError as error:
            yield str(error)
