"""Values of many rows, column by column: one value for all of them, or one for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from sisy import nested


@dataclass(frozen=True, slots=True)
class Column:
    """What rows hold in a column, adapted to the driver of a database.

    Attributes:
        kind: the type of the column in SQL.
        is_shared: whether all rows hold the same.
        value: what all rows hold, or a list of what each holds.
    """

    name: str
    kind: str
    is_shared: bool
    value: Any

    @classmethod
    def of(
        cls,
        field: "models.Field[Any, Any]",
        held: Sequence[Any],
        connection: BaseDatabaseWrapper,
    ) -> "Column":
        """Return the column of ``field`` in rows that hold these values, at least one."""
        # Without its length: a cast to a type that has one cuts texts off silently.
        kind = (field.cast_db_type(connection) or "").partition("(")[0]
        name = str(field.column)
        if _are_alike(field, held):
            return cls(name, kind, True, field.get_db_prep_save(held[0], connection))
        values = [field.get_db_prep_save(value, connection) for value in held]
        return cls(name, kind, False, values)


def _are_alike(field: "models.Field[Any, Any]", held: Sequence[Any]) -> bool:
    """Whether all values are the same; in JSON 1, 1.0 and true are three, in Python one."""
    if isinstance(field, models.JSONField):
        return not any(nested.differ(held[0], value) for value in held[1:])
    return held.count(held[0]) == len(held)
