"""Compare a task with its declaration in code, and reset fields to the declaration."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from django.db import models
from django.utils.duration import duration_string

from sisy.records import nested
from sisy.records.task_fields import COLUMNS, OWNER_FIELDS, PUBLIC_NAMES
from sisy.records.twins import twin

if TYPE_CHECKING:
    from sisy.models.task import Task

# Functions may keep state in it, so that it differs from the code without being overridden.
USERDATA_COLUMN = "_extra_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A field that was changed by hand, so that it no longer follows the code.

    Attributes:
        field: the name of the field.
        code: the value that the code declares, as JSON.
        own: the value of the task, as JSON.
    """

    field: str
    code: Any
    own: Any


class FollowsCode(models.Model):
    """The methods of a task that concern its declaration in code; see `sisy.schedule`."""

    class Meta:
        abstract = True

    @property
    def is_declared(self) -> bool:
        """Return whether code declares the task."""
        return self._task.declaration is not None and self._task.undeclared_at is None

    def overrides(self) -> list[Override]:
        """Return the fields of a declared task that people have changed."""
        return overrides_of(self._task, self._task.declaration or {})

    def back_to_code(self, *fields: str) -> list[str]:
        """Reset fields to the values in the code, and save the task.

        Returns the names of the fields that differed.

        Args:
            fields: the names of fields; all by default.

        Raises:
            ValueError: the task is not declared in code, the declaration does not set such a
                field, or, as for `save`, a value in the code is no longer valid.
        """
        declaration = self._task.declaration
        if declaration is None:
            raise ValueError(
                f"{self._task.label!r} is not declared in code, so it cannot be reset to code."
            )
        wanted = {COLUMNS.get(name, name) for name in fields}
        if unknown := wanted - declaration.keys():
            public = {PUBLIC_NAMES.get(name, name) for name in unknown}
            known = ", ".join(sorted(PUBLIC_NAMES.get(name, name) for name in declaration))
            raise ValueError(
                f"The declaration of {self._task.label!r} does not set {min(public)!r}, so that "
                f"field cannot be reset. Valid fields: {known}."
            )
        changed = [one.field for one in self.overrides() if not wanted or one.field in wanted]
        give(self._task, {name: declaration[name] for name in changed})
        self._task.save()
        return changed

    aback_to_code = twin(back_to_code)

    @property
    def _task(self) -> "Task":
        return cast("Task", self)


def overrides_of(task: "Task", declaration: Mapping[str, Any]) -> list[Override]:
    """Return the fields in which a task differs from a declaration.

    User data that the code leaves empty does not count: it is the task's own.
    """
    own = in_json(task)
    return [
        Override(field=name, code=code, own=own[name])
        for name, code in sorted(declaration.items())
        if name in own and own[name] != code and not (name == USERDATA_COLUMN and not code)
    ]


def in_json(task: "Task") -> dict[str, Any]:
    """Return the owner's fields of a task by name, as JSON values."""
    return {name: json_of(task, name, getattr(task, name)) for name in OWNER_FIELDS}


def json_of(task: "Task", name: str, value: Any) -> Any:
    """Return the value of a field as a JSON value."""
    return _in_json(_field(task, name), value)


def give(task: "Task", values: Mapping[str, Any]) -> None:
    """Assign JSON values, as `in_json` returns them, to the fields of a task. Does not save it."""
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
