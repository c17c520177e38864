"""Build INSERT statements once, with the values that seldom differ as literals.

Most of the sixty columns of a task and its run have the same values as in the previous submission.
Python needs longer to convert them than PostgreSQL to store them. So they become literals in the
text of the statement, and the text is cached.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from sisy.models.statements import execute


@dataclass(frozen=True, slots=True)
class Constants:
    """The columns of a model that seldom differ from one record to the next."""

    fields: tuple["models.Field[Any, Any]", ...]
    read: Callable[[dict[str, Any]], tuple[Any, ...]]
    json_at: tuple[int, ...]

    @staticmethod
    @cache
    def of(model: type[models.Model], varying: tuple[str, ...]) -> "Constants":
        fields = tuple(
            field
            for field in model._meta.concrete_fields
            if field.attname not in varying and not field.primary_key
        )
        return Constants(
            fields,
            itemgetter(*(field.attname for field in fields)),
            tuple(n for n, field in enumerate(fields) if isinstance(field, models.JSONField)),
        )

    def values(self, record: models.Model) -> tuple[Any, ...]:
        """Return what a record holds, each value hashable: of JSON, the text."""
        values = self.read(record.__dict__)
        texts = [(n, json.dumps(values[n])) for n in self.json_at if values[n] is not None]
        if not texts:
            return values
        changed = list(values)
        for n, text in texts:
            changed[n] = text
        return tuple(changed)

    def literals(self, values: tuple[Any, ...], connection: BaseDatabaseWrapper) -> dict[str, str]:
        """Return by column what stands for a value in SQL; a column left out holds NULL."""
        literals = {}
        for n, (field, value) in enumerate(zip(self.fields, values, strict=True)):
            if value is not None:
                is_text = n in self.json_at
                stored = value if is_text else field.get_db_prep_save(value, connection)
                literal: str = connection.ops.compose_sql("%s", [stored])  # type: ignore[attr-defined]
                literals[str(field.column)] = literal.replace("%", "%%")
        return literals


def insert_into(using: str, model: type[models.Model], columns: Iterable[str]) -> str:
    """Return the beginning of an insertion, up to the names of the columns."""
    quote = connections[using].ops.quote_name
    return f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(map(quote, columns))})"


def stored(
    record: models.Model, names: Iterable[str], connection: BaseDatabaseWrapper
) -> list[Any]:
    """Return what a statement takes for columns of a record."""
    field_of, held = record._meta.get_field, record.__dict__
    return [field_of(name).get_db_prep_save(held[name], connection) for name in names]  # type: ignore[union-attr]


def insert_alone(using: str, record: models.Model, varying: tuple[str, ...]) -> None:
    """Insert a record into PostgreSQL, and give it its key.

    Args:
        varying: the columns that often differ from one record to the next.
    """
    held = record.__dict__
    given = tuple([name for name in varying if held[name] is not None])
    constants = Constants.of(type(record), varying).values(record)
    statement = _statement(using, type(record), constants, varying, given)
    ((record.pk,),) = execute(using, statement, stored(record, given, connections[using]))


@lru_cache(maxsize=256)
def _statement(
    using: str,
    model: type[models.Model],
    constants: tuple[Any, ...],
    varying: tuple[str, ...],
    given: tuple[str, ...],
) -> str:
    columns = Constants.of(model, varying).literals(constants, connections[using])
    columns |= {str(model._meta.get_field(name).column): "%s" for name in given}  # type: ignore[union-attr]
    values = ", ".join(columns.values())
    return f"{insert_into(using, model, columns)} VALUES ({values}) RETURNING id"
