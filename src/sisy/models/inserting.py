"""Stores runs by one statement where the database can."""

from collections.abc import Sequence
from typing import Any

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sisy.models.columnar import Column
from sisy.models.prepared import places
from sisy.models.run import Run


def insert_runs(using: str, runs: Sequence[Run]) -> list[Run]:
    """Insert runs, all or none, and return them with their keys."""
    runs = list(runs)
    vendor, features = connections[using].vendor, connections[using].features
    with transaction.atomic(using=using, savepoint=False):
        if runs and vendor == "postgresql":
            insert_by_one(using, runs)
        elif vendor == "sqlite" and len(runs) == 1:
            _insert_alone(using, runs[0])
        elif features.can_return_rows_from_bulk_insert:
            Run.objects.using(using).bulk_create(runs)
        else:
            for run in runs:
                run.save(using=using)
    return runs


def _values(record: models.Model, connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """Return what is stored, by column; a column that is left out holds NULL."""
    return {
        str(field.column): field.get_db_prep_save(value, connection)
        for field in record._meta.concrete_fields
        if (value := getattr(record, field.attname)) is not None
    }


def _insert(using: str, model: type[models.Model], columns: Sequence[str]) -> str:
    quote = connections[using].ops.quote_name
    return f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(map(quote, columns))})"


def insert_by_one(using: str, records: Sequence[models.Model]) -> None:
    """Insert records of a model into PostgreSQL by one statement, and give them their keys.

    What all of them hold is written once. Django writes each value of each record, which takes
    longer than to insert them.
    """
    connection, model = connections[using], type(records[0])
    columns = [
        Column.of(field, [getattr(record, field.attname) for record in records], connection)
        for field in model._meta.concrete_fields
    ]
    # A column that is left out holds NULL.
    shared = [column for column in columns if column.is_shared and column.value is not None]
    own = [column for column in columns if not column.is_shared]
    names = [connection.ops.quote_name(column.name) for column in own]
    kinds = ", ".join(f"%s::{column.kind}[]" for column in own)
    rows = f"unnest({kinds}) WITH ORDINALITY" if own else f"generate_series(1, {len(records)})"
    values = [*(f"%s::{column.kind}" for column in shared), *(f"own.{name}" for name in names)]
    statement = (
        f"{_insert(using, model, [column.name for column in (*shared, *own)])} "
        f"SELECT {', '.join(values)} FROM {rows} AS own({', '.join([*names, 'place'])}) "
        "ORDER BY own.place RETURNING id"
    )
    params = [column.value for column in (*shared, *own)]
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        for record, (pk,) in zip(records, cursor.fetchall(), strict=True):
            record.pk = pk
    _note_saved(using, *records)


def _insert_alone(using: str, run: Run) -> None:
    """Insert a run by the shortest way, where the database is a part of the process."""
    connection = connections[using]
    values = _values(run, connection)
    statement = f"{_insert(using, Run, tuple(values))} VALUES ({places(values)})"
    with connection.cursor() as cursor:
        cursor.execute(statement, list(values.values()))
        run.pk = cursor.lastrowid
    _note_saved(using, run)


def _note_saved(using: str, *records: models.Model) -> None:
    for record in records:
        record._state.adding, record._state.db = False, using
