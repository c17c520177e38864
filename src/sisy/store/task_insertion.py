"""Insert a task together with its only run, or with a batch of runs, on PostgreSQL.

A run copies from the task what both have. Values that seldom change are literals in the text of
the statement, which is kept: see `sisy.store.submissions`.

    WITH inserted AS (
        INSERT INTO sisy_task (schedule, …, label, …) VALUES ('', …, %s, …) RETURNING id, label, …
    ), stored AS (
        INSERT INTO sisy_run (state, …, task_id, label, …)
        SELECT 'queued', …, inserted.id, inserted.label, … FROM inserted RETURNING id, task_id, …
    )
    INSERT INTO sisy_queued_run (task_id, run_id, …) SELECT task_id, id, … FROM stored …
    RETURNING task_id, run_id
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from sys import intern
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.signals import post_save, pre_save

from sisy.records.alike import note_inserted, values_of
from sisy.records.instances import has_receivers, note_saved, refer, set_key
from sisy.records.run import RunRecord
from sisy.records.task import TaskRecord
from sisy.records.validators import JSON
from sisy.store import entries
from sisy.store.bulk import kind_of
from sisy.store.statements import fetch, insert_into
from sisy.store.submissions import LiteralColumns

COPIED = {
    "label": "label",
    "target_path": "target_path",
    "target_pk": "target_pk",
    "payload": "_extra_data",
    "planned_at": "created_at",
    "ready_at": "created_at",
}
"""The columns of a run that usually equal a column of its task."""

VARYING_TASK_COLUMNS = tuple(dict.fromkeys(COPIED.values()))
VARYING_RUN_COLUMNS = (*COPIED, "task_id")

SHARED_COLUMNS_OF_QUEUED = ("engine", "queue", "priority")

EACH_PAYLOAD = "jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS own(payload, place)"


def can_insert_with_task(connection: BaseDatabaseWrapper, task: TaskRecord) -> bool:
    """Return whether `insert_with_task` works here: no receiver listens to saved tasks."""
    return connection.vendor == "postgresql" and not has_receivers(type(task), pre_save, post_save)


class PairInsertion:
    """The statements that insert a task with its run, or its runs, on PostgreSQL.

    Args:
        task: an unsaved task. Those to insert equal it in all but the varying columns.
        run: an unsaved run of it, for which the same is true.
    """

    def __init__(self, task: TaskRecord, run: RunRecord) -> None:
        self._task, self._run = task, run
        self._known: dict[tuple[str, tuple[str, ...], tuple[str, ...], bool], str] = {}

    def statement(
        self,
        using: str,
        non_null: tuple[str, ...],
        not_copied: tuple[str, ...],
        *,
        is_batch: bool,
    ) -> str:
        """Return the text of a statement.

        Args:
            non_null: the varying columns of the task that are not NULL.
            not_copied: the columns of the run that differ from those of its task.
            is_batch: whether the last parameter is a JSON array with the data of each run.
        """
        shape = (using, non_null, not_copied, is_batch)
        known = self._known.get(shape)
        if known is None:
            # The same object for the same text: psycopg then keeps what it knows about it.
            known = self._known[shape] = intern(self._written(*shape))
        return known

    def _written(
        self, using: str, non_null: tuple[str, ...], not_copied: tuple[str, ...], is_batch: bool
    ) -> str:
        connection = connections[using]
        quote = connection.ops.quote_name
        task_model, run_model = type(self._task), type(self._run)
        columns = LiteralColumns.of(task_model, VARYING_TASK_COLUMNS)
        of_task = columns.literals(columns.values(self._task), connection)
        of_task |= dict.fromkeys(non_null, "%s")
        seldom = LiteralColumns.of(run_model, VARYING_RUN_COLUMNS)
        of_run = {
            "task_id": "inserted.id",
            **seldom.literals(seldom.values(self._run), connection),
        }
        of_run |= {
            name: f"inserted.{quote(source)}"
            for name, source in COPIED.items()
            if source in non_null and name not in not_copied
        }
        kinds = {
            field.attname: kind_of(field, connection) for field in run_model._meta.concrete_fields
        }
        of_run |= {name: f"%s::{kinds[name]}" for name in not_copied}
        source = "inserted"
        if is_batch:
            of_run["payload"] = "own.payload"
            source += f", {EACH_PAYLOAD} ORDER BY own.place"
        shared = {name: of_run[name] for name in SHARED_COLUMNS_OF_QUEUED}
        returned = ", ".join(map(quote, ("id", *non_null)))
        return (
            f"WITH inserted AS ({insert_into(using, task_model, of_task)} "
            f"VALUES ({', '.join(of_task.values())}) RETURNING {returned}), "
            f"stored AS ({insert_into(using, run_model, of_run)} "
            f"SELECT {', '.join(of_run.values())} FROM {source} "
            f"RETURNING {entries.own_columns(shared)}) "
            f"{entries.queued_of_stored(shared)} RETURNING task_id, run_id"
        )


def insert_with_task(
    connection: BaseDatabaseWrapper,
    insertion: PairInsertion,
    task: TaskRecord,
    runs: Sequence[RunRecord],
    data: str,
) -> None:
    """Insert an unsaved task and its unsaved run, or a batch of runs, and set their keys.

    Args:
        runs: a list of one run, or an `Alike` of runs that differ in their payload.
        data: the user data of the task as JSON.
    """
    run, is_batch = runs[0], len(runs) > 1
    of_task, of_run = task.__dict__, run.__dict__
    non_null = tuple([name for name in VARYING_TASK_COLUMNS if of_task[name] is not None])
    not_copied = tuple(
        [
            name
            for name, source in COPIED.items()
            if of_run[name] is not of_task[source] and not (is_batch and name == "payload")
        ]
    )
    params = [data if name == "_extra_data" else _sent(of_task[name]) for name in non_null]
    params += [_sent(of_run[name]) for name in not_copied]
    if is_batch:
        params.append(JSON.encode(values_of(runs, "payload")))
    statement = insertion.statement(connection.alias, non_null, not_copied, is_batch=is_batch)
    rows = fetch(connection, statement, params)
    set_key(task, rows[0][0])
    refer(run, "task", task)
    note_saved(connection.alias, [task])
    note_inserted(connection.alias, runs, [pk for _, pk in rows])


def _sent(value: str | datetime | dict[str, Any]) -> str | datetime:
    """Return the value of a varying column as psycopg takes it."""
    # Django's fields do the same, but take several times as long.
    if isinstance(value, str):
        return value
    return JSON.encode(value) if isinstance(value, dict) else value.astimezone(UTC)
