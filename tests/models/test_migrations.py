"""Tasks that a project's data migration makes."""

import pkgutil
import sys
from datetime import timedelta
from pkgutil import ModuleInfo
from types import ModuleType, SimpleNamespace
from uuid import uuid4

import pytest
from django.db import connection
from django.db.migrations import Migration, recorder
from django.db.migrations.exceptions import IrreversibleError
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import OperationWriter

from sisy import ScheduleError, clock
from sisy.heartbeat import tick
from sisy.migrations_ops import AlterTask, CreateTask, DeleteTask
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


@pytest.fixture
def operations(migrated_app, monkeypatch):
    """Return a function that gives the second and later migrations of the app operations."""
    from tests.app.migrated import migrations

    def write(*of_each):
        for number, of_this in enumerate(of_each, 2):
            name = f"000{number}_written"
            before = "0001_initial" if number == 2 else f"000{number - 1}_written"
            migration = type(
                "Migration",
                (Migration,),
                {
                    "dependencies": [("migrated", before), ("sisy", "0001_initial")],
                    "operations": list(of_this),
                },
            )
            path = f"{migrations.__name__}.{name}"
            module = ModuleType(path)
            module.Migration = migration
            monkeypatch.setitem(sys.modules, path, module)
        names = ["0001_initial", *(f"000{n}_written" for n, _ in enumerate(of_each, 2))]
        found = [ModuleInfo(None, name, False) for name in names]
        real = pkgutil.iter_modules

        def modules(path=None, prefix=""):
            return found if path == migrations.__path__ else real(path, prefix)

        monkeypatch.setattr(pkgutil, "iter_modules", modules)
        return migrated_app

    return write


def named(name="greetings"):
    return Task.objects.filter(name=name).first()


NOOP = "tests.app.jobs.noop"


def test_a_migration_makes_alters_and_deletes_a_task_and_each_can_be_undone(operations):
    migrate = operations(
        [CreateTask("greetings", NOOP, schedule="0 4 * * *", userdata={"n": 1}, priority=3)],
        [AlterTask("greetings", schedule="0 5 * * *", queue="slow", timeout=timedelta(minutes=1))],
        [DeleteTask("greetings")],
    )
    migrate("0002_written")
    task = named()
    assert (task.schedule, task.userdata, task.priority) == ("0 4 * * *", {"n": 1}, 3)
    assert (task.label, task.target_path, task.state) == ("greetings", NOOP, TaskState.ACTIVE)
    tick("default", clock.now("default"))
    assert named().next_run.hour == 4
    migrate("0003_written")
    assert (named().schedule, named().queue) == ("0 5 * * *", "slow")
    tick("default", clock.now("default"))
    assert named().next_run.hour == 5
    migrate("0004_written")
    assert named() is None
    migrate("0003_written")
    assert (named().schedule, named().queue, named().priority) == ("0 5 * * *", "slow", 3)
    migrate("0002_written")
    assert (named().schedule, named().queue, named().timeout) == ("0 4 * * *", "default", None)
    assert named().pk != task.pk  # it had been deleted meanwhile
    migrate("0001_initial")
    assert named() is None


def test_a_method_of_an_object_is_named_by_path_and_key_of_any_type(operations):
    key = uuid4()
    migrate = operations(
        [CreateTask("tick", "tests.app.models.UUIDCounter.tick", pk_override=key)],
        [AlterTask("tick", callable=NOOP)],
    )
    migrate("0002_written")
    assert named("tick").target_pk == str(key)
    migrate("0003_written")
    assert (named("tick").target_path, named("tick").target_pk) == (NOOP, None)
    migrate("0002_written")
    assert named("tick").target_pk == str(key)


def test_a_removed_function_does_not_break_old_migrations(operations, caplog):
    migrate = operations(
        [CreateTask("greetings", "tests.app.jobs.gone", schedule="0 4 * * *")],
        [AlterTask("greetings", callable=NOOP)],
    )
    migrate("0002_written")
    assert named().target_path == "tests.app.jobs.gone"
    assert "has no 'gone'" in caplog.text
    migrate("0003_written")
    assert named().target_path == NOOP


def test_a_deleted_task_does_not_break_old_migrations(operations, caplog):
    migrate = operations(
        [CreateTask("greetings", NOOP)],
        [AlterTask("greetings", queue="slow")],
        [DeleteTask("greetings")],
    )
    migrate("0002_written")
    Task.objects.all().delete()
    migrate("0004_written")
    assert "Task greetings does not exist" in caplog.text
    assert named() is None


def test_an_alteration_without_a_creating_migration_is_irreversible(operations):
    migrate = operations([AlterTask("somebody's", queue="slow")])
    migrate("0002_written")
    with pytest.raises(IrreversibleError, match="no earlier migration creates the task"):
        migrate("0001_initial")
    # forwards again, so that the fixture can take the rest back
    recorder.MigrationRecorder(connection).record_unapplied("migrated", "0002_written")


def test_an_invalid_schedule_stops_the_migration(operations):
    migrate = operations([CreateTask("greetings", NOOP, schedule="61 * * * *")])
    with pytest.raises(ScheduleError, match="minute"):
        migrate("0002_written")
    assert named() is None


def test_errors_are_raised_where_the_migration_is_written():
    with pytest.raises(TypeError, match="Did you mean 'overlap'"):
        CreateTask("greetings", NOOP, overlp="allow")
    with pytest.raises(TypeError, match="is not a dotted path"):
        CreateTask("greetings", print)


def test_queued_runs_are_cancelled_when_a_migration_deletes_a_task(operations):
    migrate = operations([CreateTask("greetings", NOOP)], [DeleteTask("greetings")])
    migrate("0002_written")
    run = named().run_now()
    migrate("0003_written")
    run.refresh_from_db()
    assert (run.state, run.reason) == ("cancelled", "The task was deleted.")


def test_operations_can_be_serialized_and_describe_themselves(operations):
    operation = AlterTask("greetings", schedule="0 5 * * *")
    name, args, kwargs = operation.deconstruct()
    assert (name, args, kwargs) == ("AlterTask", ("greetings",), {"schedule": "0 5 * * *"})
    assert operation.describe() == "Alter task greetings"
    assert operation.migration_name_fragment == "alter_task_greetings"
    written, imports = OperationWriter(CreateTask("a", NOOP, queue="slow")).serialize()
    assert "sisy.migrations_ops.CreateTask(" in written
    assert imports == {"import sisy.migrations_ops"}


def test_an_app_that_does_not_depend_on_sisy_gets_an_error(migrated_app):
    operation = CreateTask("greetings", NOOP)
    state = ProjectState()
    with pytest.raises(ValueError, match="dependencies of this migration in shop"):
        operation.database_forwards("shop", SimpleNamespace(connection=connection), state, state)
