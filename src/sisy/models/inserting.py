"""Store runs with one statement where the database can."""

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from django.db import connections, models, transaction

from sisy.models.columnar import Column
from sisy.models.prepared import places
from sisy.models.statements import execute
from sisy.models.templates import insert_alone, insert_into

if TYPE_CHECKING:
    from sisy.models.run import Run

VARYING = (
    "task_id",
    "label",
    "target_pk",
    "payload",
    "due_at",
    "ready_at",
    "planned_at",
    "occurrence_at",
    "retry_of_id",
)
"""The columns of a run that often differ from one run to the next."""


def insert_runs(using: str, runs: "Sequence[Run]") -> "list[Run]":
    """Insert runs, all or none, and return them with their keys."""
    runs = list(runs)
    vendor, features = connections[using].vendor, connections[using].features
    if vendor == "postgresql" and len(runs) == 1:
        insert_alone(using, runs[0], VARYING)
        _note_saved(using, runs)
    elif vendor == "postgresql" and runs:
        insert_by_one(using, runs)
    elif vendor == "sqlite" and len(runs) == 1:
        _insert_locally(using, runs[0])
    elif runs and features.can_return_rows_from_bulk_insert:
        type(runs[0]).objects.using(using).bulk_create(runs)
    else:
        with transaction.atomic(using=using, savepoint=False):
            for run in runs:
                run.save(using=using)
    return runs


def insert_by_one(using: str, records: Sequence[models.Model]) -> None:
    """Insert records of a model into PostgreSQL by one statement, and give them their keys.

    What all of them hold is written once. Django writes each value of each record, which takes
    longer than to insert them.
    """
    connection, model = connections[using], type(records[0])
    fields = model._meta.concrete_fields
    held = zip(*map(attrgetter(*(field.attname for field in fields)), records), strict=True)
    columns = [
        Column.of(field, values, connection) for field, values in zip(fields, held, strict=True)
    ]
    # A column that is left out holds NULL.
    shared = [column for column in columns if column.is_shared and column.value is not None]
    own = [column for column in columns if not column.is_shared]
    names = [connection.ops.quote_name(column.name) for column in own]
    sources = ", ".join(column.rows for column in own)
    rows = (
        f"ROWS FROM ({sources}) WITH ORDINALITY" if own else f"generate_series(1, {len(records)})"
    )
    values = [*(f"%s::{column.kind}" for column in shared), *(f"own.{name}" for name in names)]
    statement = (
        f"{insert_into(using, model, [column.name for column in (*shared, *own)])} "
        f"SELECT {', '.join(values)} FROM {rows} AS own({', '.join([*names, 'place'])}) "
        "ORDER BY own.place RETURNING id"
    )
    params = [column.value for column in (*shared, *own)]
    for record, (pk,) in zip(records, execute(using, statement, params), strict=True):
        record.pk = pk
    _note_saved(using, records)


def _insert_locally(using: str, run: "Run") -> None:
    """Insert a run by the shortest way, where the database is a part of the process."""
    connection = connections[using]
    values = {
        str(field.column): field.get_db_prep_save(value, connection)
        for field in run._meta.concrete_fields
        if (value := getattr(run, field.attname)) is not None  # what is left out holds NULL
    }
    statement = f"{insert_into(using, type(run), values)} VALUES ({places(values)})"
    with transaction.mark_for_rollback_on_error(using=using), connection.cursor() as cursor:
        cursor.execute(statement, list(values.values()))
        run.pk = cursor.lastrowid
    _note_saved(using, [run])


def _note_saved(using: str, records: Sequence[models.Model]) -> None:
    for record in records:
        record._state.adding, record._state.db = False, using
