"""Stores runs, many of them or one with its task, by one statement where the database can."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_save, pre_save

from sisy.models.columnar import Column
from sisy.models.prepared import places
from sisy.models.run import Run

if TYPE_CHECKING:
    from sisy.models.task import Task


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


def can_insert_with_task(using: str, task: "Task") -> bool:
    """Whether `insert_with_task` can, and nobody expects to hear of a task that is saved."""
    is_heard = any(signal.has_listeners(type(task)) for signal in (pre_save, post_save))
    return connections[using].vendor == "postgresql" and not is_heard


def insert_with_task(using: str, task: "Task", run: Run) -> None:
    """Insert a task and a run of it, neither of which is saved yet, and give them their keys.

    Outside of a transaction that is one trip to the database, instead of four.
    """
    connection = connections[using]
    of_task, of_run = _values(task, connection), _values(run, connection)
    statement = _statement(using, type(task), tuple(of_task), tuple(of_run))
    with transaction.mark_for_rollback_on_error(using=using), connection.cursor() as cursor:
        cursor.execute(statement, [*of_task.values(), *of_run.values()])
        task.pk, run.pk = cursor.fetchone()
    run.task = task
    _note_saved(using, task, run)


def _values(record: models.Model, connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """Return what is stored, by column; a column that is left out holds NULL."""
    return {
        str(field.column): field.get_db_prep_save(value, connection)
        for field in record._meta.concrete_fields
        if (value := getattr(record, field.attname)) is not None
    }


@lru_cache(maxsize=64)
def _statement(
    using: str, model: type["Task"], of_task: tuple[str, ...], of_run: tuple[str, ...]
) -> str:
    task = f"{_insert(using, model, of_task)} VALUES ({places(of_task)}) RETURNING id"
    run = _insert(using, Run, ["task_id", *of_run])
    of_this_task = "(SELECT id FROM inserted)"
    return (
        f"WITH inserted AS ({task}) {run} "
        f"VALUES ({of_this_task}, {places(of_run)}) RETURNING task_id, id"
    )


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
