"""The task that each other engine executes: ``on_<alias>``, which takes the key of a run.

Each alias has its own, because some backends have their own class of tasks. Sisy's app imports
this module, so that engines know their tasks when they start.
"""

from collections.abc import Collection
from typing import Any

from django.conf import settings

from sisy import conf
from sisy.engines.dispatch import queue_of, trampoline_of


def trampoline_on(alias: str, aliases: Collection[str]) -> Any:
    """Return the task of an engine; see `trampoline_of`."""
    from sisy.django_tasks.compat import task, task_backends

    def execute(run_id: int) -> None:
        from sisy.engines.execute import execute_dispatched

        execute_dispatched(run_id)

    execute.__name__ = execute.__qualname__ = trampoline_of(alias, aliases).rpartition(".")[2]
    # Django rejects a task whose queue its backend does not have.
    queue = queue_of(task_backends[alias], conf.DEFAULT_QUEUES[0])
    return task(backend=alias, queue_name=queue)(execute)


_aliases = conf.usable_settings().aliases
for _alias in sorted(_aliases):
    if _alias in (getattr(settings, "TASKS", None) or {}):  # a system check reports the others
        _task = trampoline_on(_alias, _aliases)
        globals()[_task.name] = _task
