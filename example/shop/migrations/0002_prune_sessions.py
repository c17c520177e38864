"""Create a task in a migration."""

from django.db import migrations

from sisy.migrations_ops import CreateTask


class Migration(migrations.Migration):
    dependencies = [
        ("shop", "0001_initial"),
        ("sisy", "0001_initial"),
        ("sessions", "0001_initial"),
    ]

    operations = [
        CreateTask("sessions: prune", "shop.jobs.prune_sessions", schedule="40 */2 * * *"),
    ]
