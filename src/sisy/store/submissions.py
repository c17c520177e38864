"""Insert submitted runs: one run of a task, or many.

Most of the sixty columns of a task and its run have the same values as in the previous submission.
Python needs longer to convert them than PostgreSQL to store them. So they become literals in the
text of the statement, and the text is kept. PostgreSQL prepares it if a session sends it often:

    WITH stored AS (
        INSERT INTO sisy_run (state, queue, …, task_id, label, …)
        VALUES ('queued', 'default', …, %s, %s, …) RETURNING id, task_id, …
    ), queued AS (
        INSERT INTO sisy_queued_run (task_id, run_id, …) SELECT task_id, id, … FROM stored
    )
    SELECT id FROM stored

See `task_insertion` for a task that is stored with its runs.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from operator import itemgetter
from typing import Any

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sisy.records.alike import values_of
from sisy.records.choices import RunState
from sisy.records.instances import note_saved
from sisy.records.run import R, RunRecord
from sisy.store import entries
from sisy.store.bulk import insert_many
from sisy.store.run_queries import rows_of
from sisy.store.statements import fetch, insert_into, placeholders

VARYING_COLUMNS_OF_RUN_ALONE = (
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


@dataclass(frozen=True, slots=True)
class LiteralColumns:
    """The columns of a model that seldom differ from one record to the next.

    They are written into the text of a statement.
    """

    fields: tuple["models.Field[Any, Any]", ...]
    read: Callable[[dict[str, Any]], tuple[Any, ...]]
    json_places: tuple[int, ...]

    @staticmethod
    @cache
    def of(model: type[models.Model], varying: tuple[str, ...]) -> "LiteralColumns":
        fields = tuple(
            field
            for field in model._meta.concrete_fields
            if field.attname not in varying and not field.primary_key
        )
        return LiteralColumns(
            fields,
            itemgetter(*(field.attname for field in fields)),
            tuple(n for n, field in enumerate(fields) if isinstance(field, models.JSONField)),
        )

    def values(self, record: models.Model) -> tuple[Any, ...]:
        """Return the values of a record, all hashable: JSON as text."""
        values = self.read(record.__dict__)
        texts = [(n, json.dumps(values[n])) for n in self.json_places if values[n] is not None]
        if not texts:
            return values
        changed = list(values)
        for n, text in texts:
            changed[n] = text
        return tuple(changed)

    def literals(self, values: tuple[Any, ...], connection: BaseDatabaseWrapper) -> dict[str, str]:
        """Return the SQL literals by column. Columns that are NULL are left out."""
        literals = {}
        for n, (field, value) in enumerate(zip(self.fields, values, strict=True)):
            if value is not None:
                is_text = n in self.json_places
                stored = value if is_text else field.get_db_prep_save(value, connection)
                literal: str = connection.ops.compose_sql("%s", [stored])  # type: ignore[attr-defined]
                literals[str(field.column)] = literal.replace("%", "%%")
        return literals


def insert_runs(using: str, runs: Sequence[R]) -> Sequence[R]:
    """Insert runs, all or none, and return them with their keys."""
    vendor, features = connections[using].vendor, connections[using].features
    if vendor == "postgresql" and len(runs) == 1:
        _insert_alone(using, runs[0])
        note_saved(using, runs)
    elif vendor == "postgresql" and runs:
        are_queued = all(state == RunState.QUEUED for state in values_of(runs, "state"))
        with_entries = partial(entries.with_entries, are_queued=are_queued)
        insert_many(using, runs, with_entries)
    elif vendor == "sqlite" and len(runs) == 1:
        with transaction.atomic(using=using, savepoint=False):
            _insert_locally(using, runs[0])
            is_queued = runs[0].state == RunState.QUEUED
            entries.add_inserted(using, [runs[0].pk], are_queued=is_queued)
    elif runs and features.can_return_rows_from_bulk_insert:
        rows_of(type(runs[0]), using).bulk_create(runs)
    else:
        with transaction.atomic(using=using, savepoint=False):
            for run in runs:
                run.save(using=using)
    return runs


def _insert_alone(using: str, run: RunRecord) -> None:
    """Insert a run into PostgreSQL, and set its key."""
    varying, connection = VARYING_COLUMNS_OF_RUN_ALONE, connections[using]
    held = run.__dict__
    non_null = tuple([name for name in varying if held[name] is not None])
    constants = LiteralColumns.of(type(run), varying).values(run)
    statement = _statement_of_one(using, type(run), constants, non_null, run.state)
    ((run.pk,),) = fetch(connection, statement, _stored(run, non_null, connection))


@lru_cache(maxsize=256)
def _statement_of_one(
    using: str,
    model: type[RunRecord],
    constants: tuple[Any, ...],
    non_null: tuple[str, ...],
    state: str,
) -> str:
    seldom = LiteralColumns.of(model, VARYING_COLUMNS_OF_RUN_ALONE)
    columns = seldom.literals(constants, connections[using])
    columns |= {str(model._meta.get_field(name).column): "%s" for name in non_null}  # type: ignore[union-attr]
    insertion = f"{insert_into(using, model, columns)} VALUES ({', '.join(columns.values())})"
    return entries.with_entries(insertion, {}, are_queued=state == RunState.QUEUED)


def _insert_locally(using: str, run: RunRecord) -> None:
    """Insert a run into SQLite, and set its key."""
    connection = connections[using]
    values = {
        str(field.column): field.get_db_prep_save(value, connection)
        for field in run._meta.concrete_fields
        # A column that is left out is NULL.
        if (value := getattr(run, field.attname)) is not None
    }
    statement = f"{insert_into(using, type(run), values)} VALUES ({placeholders(values)})"
    with transaction.mark_for_rollback_on_error(using=using), connection.cursor() as cursor:
        cursor.execute(statement, list(values.values()))
        run.pk = cursor.lastrowid
    note_saved(using, [run])


def _stored(
    record: models.Model, names: Iterable[str], connection: BaseDatabaseWrapper
) -> list[Any]:
    """Return the values of a record's columns, as the driver takes them."""
    field_of, held = record._meta.get_field, record.__dict__
    return [field_of(name).get_db_prep_save(held[name], connection) for name in names]  # type: ignore[union-attr]
