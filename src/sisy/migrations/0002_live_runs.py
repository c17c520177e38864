"""Move queued, running and troubled runs into small tables, and drop the indexes that found them."""

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import sisy.records.fields

FILL = (
    """
    INSERT INTO sisy_queued_run
        (task_id, run_id, engine, queue, priority, ready_at, is_delayed)
    SELECT task_id, id, engine, queue, priority, ready_at, ready_at > planned_at
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
# page left free, 98 of 100 updates find room for the new version in the page of the old one. Most
# runs have no due moment, and need no entry in the index of those that have one. The small tables
# lose as many rows as they gain, so they are vacuumed after a fixed number of them.
TUNE = (
    "ALTER TABLE sisy_run SET (fillfactor = 45)",
    "ALTER TABLE sisy_run DROP CONSTRAINT sisy_run_one_row_per_occurrence",
    "CREATE UNIQUE INDEX sisy_run_one_row_per_occurrence ON sisy_run (task_id, due_at) "
    "WHERE due_at IS NOT NULL",
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


def fill(apps: object, editor: BaseDatabaseSchemaEditor) -> None:
    for statement in FILL:
        editor.execute(statement)


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
        migrations.CreateModel(
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
            ],
            options={
                "db_table": "sisy_queued_run",
            },
        ),
        migrations.CreateModel(
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
        migrations.CreateModel(
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
            },
        ),
        migrations.RemoveIndex(
            model_name="run",
            name="sisy_run_claim",
        ),
        migrations.RemoveIndex(
            model_name="run",
            name="sisy_run_ready",
        ),
        migrations.RemoveIndex(
            model_name="run",
            name="sisy_run_held",
        ),
        migrations.RemoveIndex(
            model_name="run",
            name="sisy_run_live",
        ),
        migrations.RemoveIndex(
            model_name="run",
            name="sisy_run_trouble",
        ),
        migrations.RemoveIndex(
            model_name="run",
            name="sisy_run_finished",
        ),
        migrations.AddIndex(
            model_name="queuedrun",
            index=models.Index(
                fields=["engine", "queue", "priority", "ready_at", "run_id"],
                name="sisy_queued_claim",
            ),
        ),
        migrations.AddIndex(
            model_name="queuedrun",
            index=models.Index(
                condition=models.Q(("is_delayed", True)),
                fields=["is_delayed", "ready_at"],
                name="sisy_queued_delayed",
            ),
        ),
        migrations.AddIndex(
            model_name="troubledrun",
            index=models.Index(fields=["state", "-run_id"], name="sisy_troubled_state"),
        ),
        migrations.AddIndex(
            model_name="troubledrun",
            index=models.Index(fields=["task_id", "-run_id"], name="sisy_troubled_task"),
        ),
        migrations.AddIndex(
            model_name="troubledrun",
            index=models.Index(fields=["finished_at"], name="sisy_troubled_finished"),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, elidable=False),
        migrations.RunPython(tune, restore, elidable=False),
    ]
