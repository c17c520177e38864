"""Create a task in a data migration: by path, because historical models have no methods."""

from django.db import migrations

LABEL = "prune sessions (from a migration)"


def create(apps, schema_editor):
    from sisy.models import task_with_callable

    task_with_callable("watch.jobs.prune_sessions", label=LABEL, schedule="* * * * *").save()


def delete(apps, schema_editor):
    apps.get_model("sisy", "Task").objects.filter(label=LABEL).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("watch", "0001_initial"),
        ("sisy", "0001_initial"),
        ("sessions", "0001_initial"),
    ]

    operations = [migrations.RunPython(create, delete)]
