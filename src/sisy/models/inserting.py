"""Stores runs, many of them or one with its task, by one statement where the database can."""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_save, pre_save

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
            _insert_by_one(using, runs)
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


def _insert_by_one(using: str, runs: Sequence[Run]) -> None:
    """Insert runs in which most columns hold the same, which is written once for all of them.

    Django writes each value of each row, which takes longer than to insert them.
    """
    connection = connections[using]
    shared, own = _shared_and_own(runs, connection)
    names = [connection.ops.quote_name(name) for name in own]
    kinds = ", ".join(f"%s::{kind}[]" for kind, _ in own.values())
    rows = f"unnest({kinds}) WITH ORDINALITY" if own else f"generate_series(1, {len(runs)})"
    values = [*(f"%s::{kind}" for kind, _ in shared.values()), *(f"own.{name}" for name in names)]
    statement = (
        f"{_insert(using, Run, [*shared, *own])} SELECT {', '.join(values)} "
        f"FROM {rows} AS own({', '.join([*names, 'place'])}) ORDER BY own.place RETURNING id"
    )
    params = [value for _, value in [*shared.values(), *own.values()]]
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        for run, (pk,) in zip(runs, cursor.fetchall(), strict=True):
            run.pk = pk
    _note_saved(using, *runs)


def _insert_alone(using: str, run: Run) -> None:
    """Insert a run by the shortest way, where the database is a part of the process."""
    connection = connections[using]
    values = _values(run, connection)
    statement = f"{_insert(using, Run, tuple(values))} VALUES ({places(values)})"
    with connection.cursor() as cursor:
        cursor.execute(statement, list(values.values()))
        run.pk = cursor.lastrowid
    _note_saved(using, run)


Columns = dict[str, tuple[str, Any]]
"""The type in SQL and what is stored, by the name of a column."""


def _shared_and_own(
    runs: Sequence[Run], connection: BaseDatabaseWrapper
) -> tuple[Columns, Columns]:
    """Return the columns that hold the same in all, and lists of what the others hold."""
    shared: Columns = {}
    own: Columns = {}
    for field in Run._meta.concrete_fields:
        held = [getattr(run, field.attname) for run in runs]
        # Without its length: a cast to a type that has one cuts texts off silently.
        kind = (field.cast_db_type(connection) or "").partition("(")[0]
        if not _are_alike(field, held):
            own[str(field.column)] = (
                kind,
                [field.get_db_prep_save(value, connection) for value in held],
            )
        elif held[0] is not None:
            shared[str(field.column)] = kind, field.get_db_prep_save(held[0], connection)
    return shared, own


def _are_alike(field: "models.Field[Any, Any]", held: Sequence[Any]) -> bool:
    """Whether all values are the same; in JSON 1, 1.0 and true are three, in Python one."""
    if isinstance(field, models.JSONField):
        held = list(map(repr, held))
    return held.count(held[0]) == len(held)


def _note_saved(using: str, *records: models.Model) -> None:
    for record in records:
        record._state.adding, record._state.db = False, using
