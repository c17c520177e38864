"""Add alerts, the expectations of tasks, and which troubled runs were judged."""

from django.db import migrations, models

import sisy.records.fields


class Migration(migrations.Migration):
    dependencies = [
        ("sisy", "0003_outbox"),
    ]

    operations = [
        migrations.CreateModel(
            name="Alert",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("open_key", models.CharField(max_length=300, null=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("no_heartbeat", "no heartbeat"),
                            ("no_worker", "no worker"),
                            ("worker_problem", "worker problem"),
                            ("queue_paused", "queue paused"),
                            ("broken", "broken"),
                            ("failing", "failing"),
                            ("failed", "failed"),
                            ("lost", "lost"),
                            ("late", "late"),
                            ("slow", "too slow"),
                            ("stalled", "stalled"),
                            ("silent", "silent"),
                            ("queued", "queue delayed"),
                            ("missed", "missed"),
                            ("schedule", "schedule"),
                            ("target", "callable"),
                            ("target_missing", "callable missing"),
                        ],
                        max_length=20,
                        verbose_name="kind",
                    ),
                ),
                (
                    "subject",
                    models.CharField(
                        help_text="The task, function, queue or host that it is about, such as task:5.",
                        max_length=275,
                        verbose_name="subject",
                    ),
                ),
                ("task_id", models.BigIntegerField(null=True, verbose_name="task")),
                ("run_id", models.BigIntegerField(null=True, verbose_name="run")),
                ("queue", models.CharField(blank=True, max_length=60, verbose_name="queue")),
                (
                    "label",
                    sisy.records.fields.ReasonField(
                        blank=True, max_length=255, verbose_name="label"
                    ),
                ),
                ("why", sisy.records.fields.ReasonField(max_length=1000, verbose_name="why")),
                (
                    "fix",
                    sisy.records.fields.ReasonField(
                        blank=True, max_length=500, verbose_name="fix"
                    ),
                ),
                (
                    "evidence",
                    models.BigIntegerField(
                        default=0,
                        help_text="The key of the run, or another number, that shows the problem.",
                        verbose_name="evidence",
                    ),
                ),
                (
                    "since",
                    sisy.records.fields.MomentField(
                        help_text="When the problem began.", verbose_name="since"
                    ),
                ),
                ("opened_at", sisy.records.fields.MomentField(verbose_name="opened")),
                (
                    "reopened",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="How often the problem recurred within ten minutes.",
                        verbose_name="reopened",
                    ),
                ),
                ("closed_at", sisy.records.fields.MomentField(null=True, verbose_name="closed")),
                (
                    "close_reason",
                    sisy.records.fields.ReasonField(
                        blank=True, max_length=300, verbose_name="close reason"
                    ),
                ),
                (
                    "closed_by",
                    sisy.records.fields.ReasonField(
                        blank=True, max_length=150, verbose_name="closed by"
                    ),
                ),
                (
                    "acknowledged_at",
                    sisy.records.fields.MomentField(null=True, verbose_name="acknowledged"),
                ),
                (
                    "acknowledged_by",
                    sisy.records.fields.ReasonField(
                        blank=True, max_length=150, verbose_name="acknowledged by"
                    ),
                ),
                (
                    "muted_until",
                    sisy.records.fields.MomentField(null=True, verbose_name="muted until"),
                ),
                (
                    "muted_by",
                    sisy.records.fields.ReasonField(
                        blank=True, max_length=150, verbose_name="muted by"
                    ),
                ),
                (
                    "is_told",
                    models.BooleanField(
                        default=False,
                        help_text="Whether the last message about it said that it is open.",
                    ),
                ),
                (
                    "tell_at",
                    sisy.records.fields.MomentField(
                        help_text="When to send a message about its state. Empty for never.",
                        null=True,
                    ),
                ),
                (
                    "told_at",
                    sisy.records.fields.MomentField(
                        help_text="When the last message was stored.", null=True
                    ),
                ),
                (
                    "thread",
                    models.CharField(
                        blank=True,
                        help_text="The key of the last message that it is open.",
                        max_length=200,
                    ),
                ),
            ],
            options={
                "verbose_name": "alert",
                "verbose_name_plural": "alerts",
                "db_table": "sisy_alert",
                "ordering": ["-id"],
                "permissions": [("handle_alert", "Can acknowledge, mute and close alerts")],
                "constraints": [
                    models.UniqueConstraint(fields=("open_key",), name="sisy_alert_open"),
                ],
            },
        ),
        migrations.AddField(
            model_name="task",
            name="alert_after",
            field=models.PositiveSmallIntegerField(
                blank=True,
                help_text="Alert when this many runs in a row have failed. 0 for never. Empty for SISY_ALERT_AFTER.",
                null=True,
                verbose_name="alert after",
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="expected_duration",
            field=models.DurationField(
                blank=True,
                help_text="Alert if a run is still running after this long. Empty for never.",
                null=True,
                verbose_name="expected duration",
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="silent_at",
            field=sisy.records.fields.MomentField(
                editable=False,
                help_text="When to check next whether a run has succeeded within success_every.",
                null=True,
                verbose_name="silent from",
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="start_within",
            field=models.DurationField(
                blank=True,
                help_text="Alert if a run has not started this long after it was due. Empty for never.",
                null=True,
                verbose_name="start within",
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="success_every",
            field=models.DurationField(
                blank=True,
                help_text="Alert if no run has succeeded for this long. Empty for never.",
                null=True,
                verbose_name="success every",
            ),
        ),
        migrations.AddField(
            model_name="troubledrun",
            name="is_judged",
            # Runs that ended before this migration are no reason for an alert.
            field=models.BooleanField(db_default=True),
        ),
        migrations.AlterField(
            model_name="troubledrun",
            name="is_judged",
            field=models.BooleanField(db_default=False),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("start_within__isnull", False)),
                fields=["start_within"],
                name="sisy_task_start_within",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("expected_duration__isnull", False)),
                fields=["expected_duration"],
                name="sisy_task_expected",
            ),
        ),
        migrations.AddIndex(
            model_name="task",
            index=models.Index(
                condition=models.Q(("success_every__isnull", False)),
                fields=["silent_at", "success_every"],
                name="sisy_task_silent",
            ),
        ),
        migrations.AddIndex(
            model_name="troubledrun",
            index=models.Index(fields=["is_judged", "state"], name="sisy_troubled_judged"),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["subject", "kind", "-id"], name="sisy_alert_subject"),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("tell_at__isnull", False)),
                fields=["tell_at"],
                name="sisy_alert_tell",
            ),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["closed_at"], name="sisy_alert_closed"),
        ),
    ]
