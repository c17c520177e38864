"""The declaration of a task, beside the changes made by hand."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from django.db import models
from django.utils.duration import duration_string

from sisy.records import nested
from sisy.records.task_fields import COLUMNS, OWNER_FIELDS
from sisy.records.twins import twin

if TYPE_CHECKING:
    from sisy.models.task import Task

MEMORY = "_extra_data"  # a task may keep in it what it likes


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A field that somebody has changed, so that it does not follow the code.

    Attributes:
        field: its name.
        code: what the code says, as it is stored in JSON.
        own: what the task has instead.
    """

    field: str
    code: Any
    own: Any


class FollowsCode(models.Model):
    """A task that may be declared in code; see `sisy.schedule`."""

    class Meta:
        abstract = True

    @property
    def is_declared(self) -> bool:
        """Return whether code declares it."""
        return self._task.declaration is not None and self._task.undeclared_at is None

    def overrides(self) -> list[Override]:
        """Return what somebody has changed of a task that code declares, by field."""
        return overrides_of(self._task, self._task.declaration or {})

    def back_to_code(self, *fields: str) -> list[str]:
        """Give fields the values that the code says, save, and return which had others.

        Args:
            fields: the names of fields; all by default.

        Raises:
            ValueError: the task is not declared in code, or has no such field; as for `save`, if
                what the code said cannot be used any more.
        """
        declaration = self._task.declaration
        if declaration is None:
            raise ValueError(
                f"{self._task.label!r} is not declared in code, so it cannot be reset to code."
            )
        wanted = {COLUMNS.get(name, name) for name in fields}
        if unknown := wanted - declaration.keys():
            raise ValueError(f"The declaration does not set the field {min(unknown)!r}.")
        changed = [one.field for one in self.overrides() if not wanted or one.field in wanted]
        give(self._task, {name: declaration[name] for name in changed})
        self._task.save()
        return changed

    aback_to_code = twin(back_to_code)

    @property
    def _task(self) -> "Task":
        return cast("Task", self)


def overrides_of(task: "Task", declaration: Mapping[str, Any]) -> list[Override]:
    """Return where a task differs from a declaration.

    User data that code leaves empty is the task's own, and differs from nothing.
    """
    own = in_json(task)
    return [
        Override(field=name, code=code, own=own[name])
        for name, code in sorted(declaration.items())
        if name in own and own[name] != code and not (name == MEMORY and not code)
    ]


def in_json(task: "Task") -> dict[str, Any]:
    """Return what a task's owner says, as JSON keeps it: by the name of the field."""
    return {name: _in_json(_field(task, name), getattr(task, name)) for name in OWNER_FIELDS}


def give(task: "Task", values: Mapping[str, Any]) -> None:
    """Let an unsaved task have values as `in_json` returns them."""
    for name, value in values.items():
        setattr(task, name, _field(task, name).to_python(value))


def _field(task: "Task", name: str) -> "models.Field[Any, Any]":
    return task._meta.get_field(name)  # type: ignore[return-value]


def _in_json(field: "models.Field[Any, Any]", value: Any) -> Any:
    value = field.to_python(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return duration_string(value)
    try:
        return json.loads(json.dumps(value))
    except RecursionError:
        return nested.copied(value)
