"""Stores a task and its only run in PostgreSQL, in one trip and with few conversions.

A submission writes sixty columns, most of which hold the same as in the one before. Converting
them takes longer than storing them. So what seldom differs is written into the statement, and the
statement is kept: see `_statement`. What the run has of its task, the database copies.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_save, pre_save

from sisy.models.run import Run

if TYPE_CHECKING:
    from sisy.models.task import Task

COPIED = {
    "label": "label",
    "target_pk": "target_pk",
    "payload": "_extra_data",
    "planned_at": "created_at",
    "ready_at": "created_at",
}
"""By the column of a run, the column of its task that mostly holds the very same."""

VARYING_OF_TASK = tuple(dict.fromkeys(COPIED.values()))
VARYING_OF_RUN = tuple(COPIED)


def can_insert_with_task(using: str, task: "Task") -> bool:
    """Whether `insert_with_task` can, and nobody expects to hear of a task that is saved."""
    is_heard = any(signal.has_listeners(type(task)) for signal in (pre_save, post_save))
    return connections[using].vendor == "postgresql" and not is_heard


def insert_with_task(using: str, task: "Task", run: Run) -> None:
    """Insert a task and a run of it, neither of which is saved yet, and give them their keys."""
    connection = connections[using]
    of_task, of_run = task.__dict__, run.__dict__
    given = tuple(name for name in VARYING_OF_TASK if of_task[name] is not None)
    own = tuple(name for name, source in COPIED.items() if of_run[name] is not of_task[source])
    statement = _statement(
        using,
        type(task),
        _Constants.of(type(task), VARYING_OF_TASK).values(of_task),
        _Constants.of(Run, (*VARYING_OF_RUN, "task_id")).values(of_run),
        given,
        own,
    )
    params = [_stored(type(task), name, of_task[name], connection) for name in given]
    params += [_stored(Run, name, of_run[name], connection) for name in own]
    with transaction.mark_for_rollback_on_error(using=using), connection.cursor() as cursor:
        cursor.execute(statement, params)
        task.pk, run.pk = cursor.fetchone()
    run.task = task
    for record in (task, run):
        record._state.adding, record._state.db = False, using


@dataclass(frozen=True, slots=True)
class _Constants:
    """The columns of a model that seldom differ from one record to the next."""

    fields: tuple["models.Field[Any, Any]", ...]
    read: Callable[[dict[str, Any]], tuple[Any, ...]]
    json_at: tuple[int, ...]

    @staticmethod
    @cache
    def of(model: type[models.Model], others: tuple[str, ...]) -> "_Constants":
        fields = tuple(
            field
            for field in model._meta.concrete_fields
            if field.attname not in others and not field.primary_key
        )
        return _Constants(
            fields,
            itemgetter(*(field.attname for field in fields)),
            tuple(n for n, field in enumerate(fields) if isinstance(field, models.JSONField)),
        )

    def values(self, record: dict[str, Any]) -> tuple[Any, ...]:
        """Return what a record holds, each value hashable: of JSON, the text."""
        values = self.read(record)
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


def _stored(
    model: type[models.Model], name: str, value: Any, connection: BaseDatabaseWrapper
) -> Any:
    return model._meta.get_field(name).get_db_prep_save(value, connection)  # type: ignore[union-attr]


@lru_cache(maxsize=256)
def _statement(
    using: str,
    model: type["Task"],
    task_constants: tuple[Any, ...],
    run_constants: tuple[Any, ...],
    given: tuple[str, ...],
    own: tuple[str, ...],
) -> str:
    """Return the statement for records that hold these constants.

    Args:
        given: the varying columns of the task that hold something.
        own: the varying columns of the run that hold something else than its task.
    """
    connection = connections[using]
    quote = connection.ops.quote_name
    of_task = _Constants.of(model, VARYING_OF_TASK).literals(task_constants, connection)
    of_task |= dict.fromkeys(given, "%s")
    of_run = {"task_id": "inserted.id"}
    of_run |= _Constants.of(Run, (*VARYING_OF_RUN, "task_id")).literals(run_constants, connection)
    of_run |= {
        name: f"inserted.{quote(source)}"
        for name, source in COPIED.items()
        if source in given and name not in own
    }
    of_run |= dict.fromkeys(own, "%s")
    returned = ", ".join(map(quote, ("id", *given)))
    return (
        f"WITH inserted AS ({_insert(model, of_task, quote)} "
        f"VALUES ({', '.join(of_task.values())}) RETURNING {returned}) "
        f"{_insert(Run, of_run, quote)} SELECT {', '.join(of_run.values())} FROM inserted"
        " RETURNING task_id, id"
    )


def _insert(
    model: type[models.Model], columns: dict[str, str], quote: Callable[[str], str]
) -> str:
    return f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(map(quote, columns))})"
