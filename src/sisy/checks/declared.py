"""Checks of the tasks that code declares; they do not query the database."""

from typing import Any

from django.core.checks import CheckMessage, register

from sisy import conf
from sisy.checks import quoting
from sisy.checks.monitors import without_monitor
from sisy.checks.seconds import every_second_of_a_minute
from sisy.runtime.escaping import escaped
from sisy.syncing import discover
from sisy.syncing.sync import task_of


@register("sisy")
def check_declared_tasks(**kwargs: Any) -> list[CheckMessage]:
    """Check what ``@sisy.schedule`` declares in the modules of all apps."""
    if conf.problems():
        return []  # fields of tasks depend on the settings, which have an error of their own
    found = discover()
    messages: list[CheckMessage] = [
        quoting.warning(
            f"Cannot import {module}: {why}",
            hint=(
                "Fix the import error. Until then, migrate and sisy_sync fail, and the module's "
                "tasks keep their current settings."
            ),
            obj=module,
            id="sisy.W012",
        )
        for module, why in found.broken.items()
    ]
    for declaration in found.declarations:
        name = escaped(declaration.name)
        try:
            task = task_of(declaration)
        except ValueError as error:
            hint = "Sisy will not create or update the task until you fix this."
            messages.append(quoting.error(str(error), hint=hint, obj=name, id="sisy.E006"))
        else:
            what = f"The schedule {task.schedule!r} of the declared task"
            messages += every_second_of_a_minute(what, task.schedule, name)
            messages += without_monitor(what, task.schedule, task.label, name)
    return messages
