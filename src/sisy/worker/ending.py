"""Writes how many runs ended, by one statement where the database can."""

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from sisy.execution import Outcome
from sisy.models import Run

FIELDS = {field.name: field for field in Run._meta.concrete_fields}
COLUMNS = ("state", "started_at", "finished_at", "reason", "result", "error")
KEYED = ("id", *COLUMNS)


def write_ends(using: str, ended: Sequence[tuple[Run, Outcome]]) -> None:
    """Write the outcomes of runs that the caller has locked."""
    if not ended:
        return
    connection = connections[using]
    rows = [_row(run, outcome, connection) for run, outcome in ended]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                _update_of_many(connection), [list(column) for column in zip(*rows, strict=True)]
            )
        else:
            cursor.executemany(_update_of_one(connection), [(*row[1:], row[0]) for row in rows])


def _row(run: Run, outcome: Outcome, connection: BaseDatabaseWrapper) -> tuple[Any, ...]:
    values = (
        FIELDS[name].get_db_prep_save(getattr(outcome, name), connection) for name in COLUMNS
    )
    return (run.pk, *values)


def _update_of_many(connection: BaseDatabaseWrapper) -> str:
    """Return the statement that takes a list for each column."""
    table = connection.ops.quote_name(Run._meta.db_table)
    types = [FIELDS[name].cast_db_type(connection) for name in COLUMNS]
    lists = ", ".join(f"%s::{kind}[]" for kind in ("bigint", *types))
    settings = ", ".join(f"{name} = ended.{name}" for name in COLUMNS)
    return (
        f"UPDATE {table} SET {settings} FROM unnest({lists}) AS ended({', '.join(KEYED)}) "
        f"WHERE {table}.id = ended.id"
    )


def _update_of_one(connection: BaseDatabaseWrapper) -> str:
    table = connection.ops.quote_name(Run._meta.db_table)
    settings = ", ".join(f"{name} = %s" for name in COLUMNS)
    return f"UPDATE {table} SET {settings} WHERE id = %s"
