"""Tasks that a project's data migration makes."""

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from sisy.models import Task, TaskState


@pytest.fixture
def migrated_app(settings, transactional_db):
    """Install an app with migrations of its own, and return what migrates it."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests.app.migrated.apps.MigratedConfig"]

    def migrate(name):
        MigrationExecutor(connection).migrate([("migrated", name)])

    yield migrate
    migrate(None)


def test_a_data_migration_schedules_by_path_and_primary_key(migrated_app):
    migrated_app("0002_look_at_pages")
    task = Task.objects.get(label="look at /about/")
    assert (task.state, task.userdata) == (TaskState.ACTIVE, {"by": "migration"})
    assert task.next_run is not None
    assert task.target.resolve()({}) == "looked at /about/"


def test_a_data_migration_can_be_undone(migrated_app):
    migrated_app("0002_look_at_pages")
    migrated_app("0001_initial")
    assert not Task.objects.exists()
