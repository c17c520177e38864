"""Stores a task and its only run by one statement, where the database can."""

from collections.abc import Sequence
from functools import lru_cache
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
    of_task, of_run = _values(task, connection), _values(run, connection)
    statement = _statement(using, type(task), tuple(of_task), tuple(of_run))
    with transaction.mark_for_rollback_on_error(using=using), connection.cursor() as cursor:
        cursor.execute(statement, [*of_task.values(), *of_run.values()])
        task.pk, run.pk = cursor.fetchone()
    run.task = task
    for record in (task, run):
        record._state.adding, record._state.db = False, using


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
    return (
        f"WITH inserted AS ({_insert(using, model, of_task)} RETURNING id) "
        f"{_insert(using, Run, of_run, task_id='(SELECT id FROM inserted)')} "
        "RETURNING task_id, id"
    )


def _insert(using: str, model: type[models.Model], given: Sequence[str], **first: str) -> str:
    quote = connections[using].ops.quote_name
    columns = ", ".join(quote(name) for name in (*first, *given))
    values = ", ".join((*first.values(), *["%s"] * len(given)))
    return f"INSERT INTO {quote(model._meta.db_table)} ({columns}) VALUES ({values})"
