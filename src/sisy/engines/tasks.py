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

    def carry_out(run_id: int) -> None:
        from sisy.engines.execute import carry_out_handed

        carry_out_handed(run_id)

    carry_out.__name__ = carry_out.__qualname__ = trampoline_of(alias).rpartition(".")[2]
    return task(backend=alias)(carry_out)


for _alias in sorted(conf.usable_settings().aliases):
    if _alias in (getattr(settings, "TASKS", None) or {}):  # a check says what is wrong
        _task = _trampoline_on(_alias)
        globals()[_task.name] = _task
