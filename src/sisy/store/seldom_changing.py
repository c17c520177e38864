"""The columns of records that seldom change, which are written into the text of a statement."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper


@dataclass(frozen=True, slots=True)
class SeldomChanging:
    """The columns of a model that seldom differ from one record to the next."""

    fields: tuple["models.Field[Any, Any]", ...]
    read: Callable[[dict[str, Any]], tuple[Any, ...]]
    json_places: tuple[int, ...]

    @staticmethod
    @cache
    def of(model: type[models.Model], varying: tuple[str, ...]) -> "SeldomChanging":
        fields = tuple(
            field
            for field in model._meta.concrete_fields
            if field.attname not in varying and not field.primary_key
        )
        return SeldomChanging(
            fields,
            itemgetter(*(field.attname for field in fields)),
            tuple(n for n, field in enumerate(fields) if isinstance(field, models.JSONField)),
        )

    def values(self, record: models.Model) -> tuple[Any, ...]:
        """Return the values of a record, all hashable: JSON as text."""
        values = self.read(record.__dict__)
        texts = [(n, json.dumps(values[n])) for n in self.json_places if values[n] is not None]
        if not texts:
            return values
        changed = list(values)
        for n, text in texts:
            changed[n] = text
        return tuple(changed)

    def literals(self, values: tuple[Any, ...], connection: BaseDatabaseWrapper) -> dict[str, str]:
        """Return the SQL literal of each value by column, without those that are NULL."""
        literals = {}
        for n, (field, value) in enumerate(zip(self.fields, values, strict=True)):
            if value is not None:
                is_text = n in self.json_places
                stored = value if is_text else field.get_db_prep_save(value, connection)
                literal: str = connection.ops.compose_sql("%s", [stored])  # type: ignore[attr-defined]
                literals[str(field.column)] = literal.replace("%", "%%")
        return literals
