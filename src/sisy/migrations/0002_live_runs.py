"""Move queued, running and troubled runs into small tables, and drop the indexes that found them.

Stop Sisy's processes first: their code would change runs without their entries. The tables are
filled while the old indexes still exist. PostgreSQL and SQLite do all of it in one transaction, or
nothing. MySQL and MariaDB cannot roll back changes of the schema, so each step can be repeated
there: after a failure half way, migrate again.
"""

from typing import Any

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import sisy.records.fields

LEDGER = "sisy_run"

FILL = (
    """
    INSERT INTO sisy_queued_run
        (task_id, run_id, engine, queue, priority, ready_at, is_delayed, is_ahead)
    SELECT task_id, id, engine, queue, priority, ready_at, ready_at > planned_at,
        due_at IS NOT NULL AND due_at > planned_at AND ready_at = due_at
    FROM sisy_run WHERE state = 'queued'
    """,
    """
    INSERT INTO sisy_running_run (task_id, run_id, process_id)
    SELECT task_id, id, process_id FROM sisy_run WHERE state = 'running'
    """,
    """
    INSERT INTO sisy_troubled_run (task_id, run_id, state, finished_at)
    SELECT task_id, id, state, finished_at FROM sisy_run
    WHERE state NOT IN ('queued', 'running', 'succeeded')
    """,
)

# A run is stored, started and finished: that makes three versions of its row. With this share of a
# page left free, at least 97 of 100 updates find room for the new version in the page of the old
# one. Most runs have no due moment, and need no entry in the index of those that have one. It is an
# index and no constraint any more: a later migration that removes the constraint must drop the
# index. The small tables lose as many rows as they gain, so they are vacuumed after a fixed number
# of them. A queued entry has the number of the transaction that stored it: see
# `sisy.store.levels`.
TUNE = (
    "ALTER TABLE sisy_run SET (fillfactor = 40)",
    "ALTER TABLE sisy_run DROP CONSTRAINT sisy_run_one_row_per_occurrence",
    "CREATE UNIQUE INDEX sisy_run_one_row_per_occurrence ON sisy_run (task_id, due_at) "
    "WHERE due_at IS NOT NULL",
    "ALTER TABLE sisy_queued_run "
    "ADD COLUMN transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()",
    "CREATE INDEX sisy_queued_transaction ON sisy_queued_run (transaction_id)",
    "ALTER TABLE sisy_queued_run "
    "SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)",
    "ALTER TABLE sisy_running_run "
    "SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)",
)
RESTORE = (
    "ALTER TABLE sisy_run RESET (fillfactor)",
    "DROP INDEX sisy_run_one_row_per_occurrence",
    "ALTER TABLE sisy_run ADD CONSTRAINT sisy_run_one_row_per_occurrence UNIQUE (task_id, due_at)",
)


class CreateEntries(migrations.CreateModel):
    """Create a small table, in place of one that an interrupted attempt has left."""

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, *states: Any
    ) -> None:
        drop_remains(schema_editor, self.options["db_table"])
        super().database_forwards(app_label, schema_editor, *states)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, *states: Any
    ) -> None:
        if self.options["db_table"] in schema_editor.connection.introspection.table_names():
            super().database_backwards(app_label, schema_editor, *states)


class RemoveRunIndex(migrations.RemoveIndex):
    """Remove an index of the ledger, unless an interrupted attempt has removed it."""

    def __init__(self, name: str) -> None:
        super().__init__("run", name)

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, *states: Any
    ) -> None:
        if self.name in indexes_of_ledger(schema_editor):
            super().database_forwards(app_label, schema_editor, *states)

    def database_backwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, *states: Any
    ) -> None:
        if self.name not in indexes_of_ledger(schema_editor):
            super().database_backwards(app_label, schema_editor, *states)


def drop_remains(editor: BaseDatabaseSchemaEditor, table: str) -> None:
    if not editor.connection.features.can_rollback_ddl:
        editor.execute(f"DROP TABLE IF EXISTS {table}")


def indexes_of_ledger(editor: BaseDatabaseSchemaEditor) -> set[str]:
    with editor.connection.cursor() as cursor:
        return set(editor.connection.introspection.get_constraints(cursor, LEDGER))


def lock(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    # A worker that still runs must not change a run between its entry and the end of this
    # transaction. To drop an index takes this lock anyway.
    if editor.connection.vendor == "postgresql":
        editor.execute(f"LOCK TABLE {LEDGER} IN ACCESS EXCLUSIVE MODE")


def fill(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    # Not by the editor: it takes each statement for one that MySQL cannot roll back.
    with editor.connection.cursor() as cursor:
        for statement in FILL:
            cursor.execute(statement)


def tune(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        for statement in TUNE:
            editor.execute(statement)


def restore(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "postgresql":
        for statement in RESTORE:
            editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [
        ("sisy", "0001_initial"),
    ]

    operations = [
        CreateEntries(
            name="QueuedRun",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "task_id",
                        "run_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("task_id", models.BigIntegerField()),
                ("run_id", models.BigIntegerField()),
                ("engine", models.CharField(blank=True, max_length=60)),
                ("queue", models.CharField(max_length=60)),
                ("priority", models.SmallIntegerField()),
                ("ready_at", sisy.records.fields.MomentField()),
                ("is_delayed", models.BooleanField()),
                ("is_ahead", models.BooleanField()),
            ],
            options={
                "db_table": "sisy_queued_run",
                "indexes": [
                    models.Index(
                        fields=["engine", "queue", "priority", "ready_at", "run_id"],
                        name="sisy_queued_claim",
                    ),
                    models.Index(
                        condition=models.Q(("is_delayed", True)),
                        fields=["is_delayed", "is_ahead", "ready_at"],
                        name="sisy_queued_delayed",
                    ),
                ],
            },
        ),
        CreateEntries(
            name="RunningRun",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "task_id",
                        "run_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("task_id", models.BigIntegerField()),
                ("run_id", models.BigIntegerField()),
                ("process_id", models.BigIntegerField(null=True)),
            ],
            options={
                "db_table": "sisy_running_run",
            },
        ),
        CreateEntries(
            name="TroubledRun",
            fields=[
                ("run_id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("task_id", models.BigIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "queued"),
                            ("running", "running"),
                            ("succeeded", "succeeded"),
                            ("failed", "failed"),
                            ("timed_out", "timed out"),
                            ("cancelled", "cancelled"),
                            ("lost", "lost"),
                            ("missed", "missed"),
                            ("skipped", "skipped"),
                        ],
                        max_length=20,
                    ),
                ),
                ("finished_at", sisy.records.fields.MomentField(null=True)),
            ],
            options={
                "db_table": "sisy_troubled_run",
                "indexes": [
                    models.Index(fields=["state", "-run_id"], name="sisy_troubled_state"),
                    models.Index(fields=["task_id", "-run_id"], name="sisy_troubled_task"),
                    models.Index(fields=["finished_at"], name="sisy_troubled_finished"),
                ],
            },
        ),
        migrations.RunPython(lock, migrations.RunPython.noop, elidable=False),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=False),
        RemoveRunIndex("sisy_run_claim"),
        RemoveRunIndex("sisy_run_ready"),
        RemoveRunIndex("sisy_run_held"),
        RemoveRunIndex("sisy_run_live"),
        RemoveRunIndex("sisy_run_trouble"),
        RemoveRunIndex("sisy_run_finished"),
        migrations.RunPython(tune, restore, elidable=False),
    ]
