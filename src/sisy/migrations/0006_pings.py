"""Add the address of a monitor to tasks, and to messages that are pings."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("sisy", "0005_run_output"),
    ]

    operations = [
        migrations.AddField(
            model_name="outboxmessage",
            name="address",
            field=models.CharField(
                blank=True,
                default="",
                editable=False,
                help_text="The secret address to which a ping is sent. Other channels have their own.",
                max_length=500,
                verbose_name="address",
            ),
        ),
        migrations.AddField(
            model_name="task",
            name="ping",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The secret address of a monitor such as Healthchecks, which Sisy tells when a run starts, succeeds or fails. Empty for none.",
                max_length=500,
                verbose_name="ping",
            ),
        ),
    ]
