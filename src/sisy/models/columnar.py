"""Values of many rows, column by column: one value for all of them, or one for each."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from sisy import nested


@dataclass(frozen=True, slots=True)
class Column:
    """The values of a column, adapted to the driver of a database.

    Attributes:
        kind: the type of the column in SQL.
        is_shared: whether all rows hold the same.
        value: what all rows hold, or what each holds: a list, or what ``rows`` takes.
        rows: what returns the values of a column that is not shared as rows, in PostgreSQL.
    """

    name: str
    kind: str
    is_shared: bool
    value: Any
    rows: str = ""

    @classmethod
    def of(
        cls,
        field: "models.Field[Any, Any]",
        held: Sequence[Any],
        connection: BaseDatabaseWrapper,
    ) -> "Column":
        """Return the column of ``field`` in rows that hold these values, at least one."""
        kind, name = kind_of(field, connection), str(field.column)
        if _are_alike(field, held):
            return cls(name, kind, True, field.get_db_prep_save(held[0], connection))
        is_json = isinstance(field, models.JSONField) and connection.vendor == "postgresql"
        if is_json and None not in held:  # that is stored as NULL, not as JSON's null
            # One text takes a tenth of the time of an array of as many texts as there are rows.
            text = json.dumps(held, cls=field.encoder)  # type: ignore[attr-defined]
            return cls(name, kind, False, text, "jsonb_array_elements(%s::jsonb)")
        values = [field.get_db_prep_save(value, connection) for value in held]
        return cls(name, kind, False, values, f"unnest(%s::{kind}[])")


def kind_of(field: "models.Field[Any, Any]", connection: BaseDatabaseWrapper) -> str:
    """Return the type of a column in SQL, without its length: a cast to that cuts texts off."""
    return (field.cast_db_type(connection) or "").partition("(")[0]


def _are_alike(field: "models.Field[Any, Any]", held: Sequence[Any]) -> bool:
    """Return whether all values are the same; in JSON 1, 1.0 and true are three, in Python one."""
    if isinstance(field, models.JSONField):
        return not any(nested.differ(held[0], value) for value in held[1:])
    return held.count(held[0]) == len(held)
