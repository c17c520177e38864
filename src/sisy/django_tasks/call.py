"""Call the function of a ``django.tasks`` task, as Django's own backends do."""

from functools import partial
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import sync_to_async

from sisy.callables import DjangoTask, Function
from sisy.django_tasks.payload import Payload
from sisy.models import Run


def function_of(task: DjangoTask, run: Run) -> Function:
    """Return a function that takes the message of a run, and calls the function of ``task``."""
    return partial(_acall if iscoroutinefunction(task.func) else _call, task, run)


def _call(task: DjangoTask, run: Run, message: dict[str, Any]) -> object:
    from sisy.django_tasks.compat import normalize_json

    payload = Payload.read(message["task"].userdata)
    context = [_context(run, message)] if task.takes_context else []
    return normalize_json(task.func(*context, *payload.args, **payload.kwargs))


async def _acall(task: DjangoTask, run: Run, message: dict[str, Any]) -> object:
    from sisy.django_tasks.compat import normalize_json

    payload = Payload.read(message["task"].userdata)
    context = []
    if task.takes_context:
        context = [await sync_to_async(_context)(run, message)]
    return normalize_json(await task.func(*context, *payload.args, **payload.kwargs))


def _context(run: Run, message: dict[str, Any]) -> object:
    from sisy.django_tasks.compat import TaskContext
    from sisy.django_tasks.results import result_of

    data = message["task"].userdata
    return TaskContext(task_result=result_of(run, data=data))
