"""Writes how many runs ended, by one statement where the database can."""

from collections.abc import Sequence
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from sisy.execution import Outcome
from sisy.models import Run, RunState

FIELDS = {field.name: field for field in Run._meta.concrete_fields}
COLUMNS = ("state", "started_at", "finished_at", "reason", "result", "error", "error_class")
FENCE = ("id", "process", "attempt")

Ended = Sequence[tuple[Run, Outcome]]


def write_ends(using: str, ended: Ended) -> set[int]:
    """Write how runs ended that are still their process's; return the keys of those.

    Call it in a transaction.
    """
    if not ended:
        return set()
    if connections[using].vendor == "postgresql":
        return _write_by_one(using, ended)
    if connections[using].vendor == "mysql":  # it locks them before, in a way of its own
        held = set(Run.objects.using(using).held([run for run, _ in ended]).lock())
        ended = [(run, outcome) for run, outcome in ended if run.pk in held]
    return _write_each(using, ended)


def _write_by_one(using: str, ended: Ended) -> set[int]:
    connection = connections[using]
    rows = sorted(
        ((run.pk, run.process_id, run.attempt, *_values(how, connection)) for run, how in ended),
        key=lambda row: row[0],
    )
    columns = [list(column) for column in zip(*rows, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute(_update_of_many(connection), [*columns, RunState.RUNNING.value])
        return {pk for (pk,) in cursor.fetchall()}


def _update_of_many(connection: BaseDatabaseWrapper) -> str:
    """Return the statement that takes a list for each column; it repeats the fence."""
    table = connection.ops.quote_name(Run._meta.db_table)
    types = ["bigint", "bigint", "integer"]
    types += [FIELDS[name].cast_db_type(connection) or "" for name in COLUMNS]
    lists = ", ".join(f"%s::{kind}[]" for kind in types)
    settings = ", ".join(f"{name} = ended.{name}" for name in COLUMNS)
    return (
        f"UPDATE {table} SET {settings} "
        f"FROM unnest({lists}) AS ended({', '.join((*FENCE, *COLUMNS))}) "
        f"WHERE {table}.id = ended.id AND {table}.process_id = ended.process "
        f"AND {table}.attempt = ended.attempt AND {table}.state = %s RETURNING {table}.id"
    )


def _write_each(using: str, ended: Ended) -> set[int]:
    connection = connections[using]
    table = connection.ops.quote_name(Run._meta.db_table)
    settings = ", ".join(f"{name} = %s" for name in COLUMNS)
    fence = "id = %s AND process_id = %s AND attempt = %s AND state = %s"
    written: set[int] = set()
    with connection.cursor() as cursor:
        for run, outcome in ended:
            seen = (run.pk, run.process_id, run.attempt, RunState.RUNNING.value)
            cursor.execute(
                f"UPDATE {table} SET {settings} WHERE {fence}",
                [*_values(outcome, connection), *seen],
            )
            if cursor.rowcount:
                written.add(run.pk)
    return written


def _values(outcome: Outcome, connection: BaseDatabaseWrapper) -> list[Any]:
    return [FIELDS[name].get_db_prep_save(getattr(outcome, name), connection) for name in COLUMNS]
