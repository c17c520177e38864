from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sisy", "0015_alert_notify"),
    ]

    operations = [
        migrations.AlterField(
            "run",
            "attempt",
            models.IntegerField(
                default=0, help_text="The number of attempts so far.", verbose_name="attempt"
            ),
        ),
        migrations.AlterField(
            "run",
            "count",
            models.BigIntegerField(
                default=1,
                help_text="The number of occurrences in this row.",
                verbose_name="occurrences",
            ),
        ),
        migrations.AlterField(
            "run", "times_lost", models.IntegerField(default=0, verbose_name="times lost")
        ),
        migrations.AlterField(
            "task",
            "alert_after",
            models.SmallIntegerField(
                blank=True,
                help_text="Alert when this many runs in a row have failed. 0 for never. Empty for "
                "SISY_ALERT_AFTER.",
                null=True,
                verbose_name="alert after",
            ),
        ),
        migrations.AlterField(
            "task",
            "history_runs",
            models.IntegerField(
                blank=True,
                help_text="The maximum number of finished runs to keep. Empty for SISY_HISTORY_RUNS.",
                null=True,
                verbose_name="history limit",
            ),
        ),
        migrations.AlterField(
            "task",
            "iterations",
            models.IntegerField(
                blank=True,
                help_text="The task is deleted after this many runs. Empty for no limit.",
                null=True,
                verbose_name="iterations",
            ),
        ),
        migrations.AlterField(
            "task",
            "max_attempts",
            models.SmallIntegerField(
                default=1,
                help_text="The maximum number of attempts, including the first one. 1 means no "
                "retries.",
                verbose_name="maximum attempts",
            ),
        ),
        migrations.AlterField(
            "task",
            "runs_planned",
            models.BigIntegerField(default=0, editable=False, verbose_name="runs so far"),
        ),
        # Ascending: PostgreSQL then fills its pages, instead of leaving each half empty.
        migrations.RemoveIndex("run", "sisy_run_history"),
        migrations.AddIndex("run", models.Index(fields=["task", "id"], name="sisy_run_history")),
    ]
