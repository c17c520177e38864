"""Record what `Task.save` changes; see `sisy.records.task_change`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sisy import clock
from sisy.models.declared import USERDATA_COLUMN, json_of
from sisy.records.authorship import author
from sisy.records.choices import ChangedBy
from sisy.records.task_change import note_change

if TYPE_CHECKING:
    from sisy.models.task import Task


def values_before(task: "Task", names: frozenset[str], using: str) -> Mapping[str, Any]:
    """Lock a stored task, and return the columns that are recorded if they change, as JSON.

    User data is recorded only if a person, a command or a declaration changes it: functions keep
    state in it, and save it with each run.
    """
    if author().kind == ChangedBy.CODE:
        names = names - {USERDATA_COLUMN}
    if not names:
        return {}
    this = type(task)._base_manager.using(using).filter(pk=task.pk)
    stored = this.select_for_update().values(*names).first() or {}
    return {name: json_of(task, name, value) for name, value in stored.items()}


def record(task: "Task", before: Mapping[str, Any], using: str) -> None:
    """Record how a task differs from `values_before`. Call it in the transaction that saves it."""
    if before:
        after = {name: json_of(task, name, getattr(task, name)) for name in before}
        note_change(using, task.pk, before, after, clock.now(using))
