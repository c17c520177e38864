from django.db import migrations, models

import sisy.records.fields


class Migration(migrations.Migration):
    dependencies = [
        ("sisy", "0002_live_runs"),
    ]

    operations = [
        migrations.CreateModel(
            name="OutboxMessage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "key",
                    models.CharField(
                        help_text="Identifies the message to its receiver, however often it is sent.",
                        max_length=200,
                        verbose_name="key",
                    ),
                ),
                ("channel", models.CharField(max_length=60, verbose_name="channel")),
                (
                    "event",
                    models.CharField(
                        choices=[
                            ("opened", "opened"),
                            ("recovered", "recovered"),
                            ("digest", "digest"),
                            ("test", "test"),
                            ("ping", "ping"),
                        ],
                        max_length=20,
                        verbose_name="event",
                    ),
                ),
                ("payload", models.JSONField(default=dict, verbose_name="payload")),
                ("created_at", sisy.records.fields.MomentField(verbose_name="created")),
                (
                    "next_attempt_at",
                    sisy.records.fields.MomentField(
                        help_text="When a sender may claim it. Empty if it was sent or could not be sent.",
                        null=True,
                        verbose_name="next attempt",
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0, verbose_name="attempts")),
                ("sent_at", sisy.records.fields.MomentField(null=True, verbose_name="sent")),
                (
                    "failed_at",
                    sisy.records.fields.MomentField(
                        help_text="When the last attempt failed. It is not tried again.",
                        null=True,
                        verbose_name="failed",
                    ),
                ),
                (
                    "error",
                    sisy.records.fields.ReasonField(
                        blank=True, max_length=500, verbose_name="error"
                    ),
                ),
            ],
            options={
                "verbose_name": "message",
                "verbose_name_plural": "messages",
                "db_table": "sisy_outbox",
                "ordering": ["pk"],
                "indexes": [
                    models.Index(fields=["next_attempt_at"], name="sisy_outbox_next"),
                    models.Index(fields=["sent_at"], name="sisy_outbox_sent"),
                    models.Index(fields=["failed_at"], name="sisy_outbox_failed"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("key", "channel"), name="sisy_outbox_once")
                ],
            },
        ),
    ]
