"""The task that each other engine executes: ``on_<alias>``, which takes the key of a run.

Each alias has its own, because some backends have their own class of tasks. Sisy's app imports
this module, so that engines know their tasks when they start.
"""

from typing import Any

from django.conf import settings

from sisy import conf
from sisy.engines.dispatch import trampoline_of


def _trampoline_on(alias: str) -> Any:
    """Return the task of an engine."""
    from sisy.django_tasks.compat import task

    def execute(run_id: int) -> None:
        from sisy.engines.execute import execute_dispatched

        execute_dispatched(run_id)

    execute.__name__ = execute.__qualname__ = trampoline_of(alias).rpartition(".")[2]
    return task(backend=alias)(execute)


for _alias in sorted(conf.usable_settings().aliases):
    if _alias in (getattr(settings, "TASKS", None) or {}):  # a system check reports the others
        _task = _trampoline_on(_alias)
        globals()[_task.name] = _task
