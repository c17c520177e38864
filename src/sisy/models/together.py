"""Stores a task and its only run by one statement, where the database can."""

from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_save, pre_save

from sisy.models.run import Run

if TYPE_CHECKING:
    from sisy.models.task import Task


def can_insert_together(using: str, task: "Task") -> bool:
    """Whether the database can; and nobody expects to hear of what is saved, as Django tells."""
    is_heard = any(
        signal.has_listeners(model)
        for signal in (pre_save, post_save)
        for model in (type(task), Run)
    )
    return connections[using].vendor == "postgresql" and not is_heard


def insert_together(using: str, task: "Task", run: Run) -> None:
    """Insert a task and a run of it, neither of which is saved yet, and give them their keys.

    Outside of a transaction that is one trip to the database, instead of four.
    """
    connection = connections[using]
    params = [*_values(task, connection), *_values(run, connection)]
    with transaction.mark_for_rollback_on_error(using=using), connection.cursor() as cursor:
        cursor.execute(_statement(using, type(task)), params)
        task.pk, run.pk = cursor.fetchone()
    run.task = task
    for record in (task, run):
        record._state.adding, record._state.db = False, using


@cache
def _statement(using: str, model: type["Task"]) -> str:
    return (
        f"WITH inserted AS ({_insert(using, model)} RETURNING id) "
        f"{_insert(using, Run, task_id='(SELECT id FROM inserted)')} RETURNING task_id, id"
    )


def _insert(using: str, model: type[models.Model], **first: str) -> str:
    names = [*first, *(str(field.column) for field in _fields(model))]
    values = [*first.values(), *["%s"] * len(_fields(model))]
    quote = connections[using].ops.quote_name
    columns = ", ".join(quote(name) for name in names)
    table = quote(model._meta.db_table)
    return f"INSERT INTO {table} ({columns}) VALUES ({', '.join(values)})"


def _values(record: models.Model, connection: BaseDatabaseWrapper) -> list[Any]:
    return [
        field.get_db_prep_save(getattr(record, field.attname), connection)
        for field in _fields(type(record))
    ]


@cache
def _fields(model: type[models.Model]) -> "tuple[models.Field[Any, Any], ...]":
    """Return the columns that are given values: all but the keys of the two rows."""
    return tuple(
        field
        for field in model._meta.concrete_fields
        if not field.primary_key and field.attname != "task_id"
    )
