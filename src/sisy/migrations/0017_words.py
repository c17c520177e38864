from django.db import migrations, models

import sisy.records.fields


class Migration(migrations.Migration):
    dependencies = [
        ("sisy", "0016_plain_numbers"),
    ]

    operations = [
        migrations.AlterField(
            model_name="alert",
            name="kind",
            field=models.CharField(
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
                    ("target", "function"),
                    ("target_missing", "function missing"),
                ],
                max_length=20,
                verbose_name="kind",
            ),
        ),
        migrations.AlterField(
            model_name="process",
            name="lease_until",
            field=sisy.records.fields.MomentField(verbose_name="lease ends"),
        ),
        migrations.AlterField(
            model_name="run",
            name="target_path",
            field=models.CharField(max_length=500, verbose_name="function"),
        ),
        migrations.AlterField(
            model_name="task",
            name="target_error",
            field=sisy.records.fields.ReasonField(
                blank=True, editable=False, max_length=500, verbose_name="function error"
            ),
        ),
        migrations.AlterField(
            model_name="task",
            name="target_path",
            field=models.CharField(
                help_text="The dotted path of the function.",
                max_length=500,
                verbose_name="function",
            ),
        ),
    ]
