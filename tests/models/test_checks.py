"""What ``manage.py check --database`` says of stored tasks and of processes."""

from datetime import timedelta

import pytest
from django.core.checks import WARNING, Tags, run_checks
from django.db import connection

from sisy.checks import stored
from sisy.models import Process, Role, Task, TaskState, task_with_callable
from tests.app import jobs
from tests.app.models import Counter
from tests.support.checks import ids
from tests.support.moments import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def check():
    return stored.check_stored_tasks(databases=["default"])


def saved(target=jobs.noop, **fields):
    task = task_with_callable(target, timezone="UTC", **fields)
    task.save()
    return task


def by_raw_sql(task, column, value):
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE sisy_task SET {column} = %s WHERE id = %s", [value, task.pk])


def up(host, pid, lease=timedelta(seconds=30)):
    process = Process.join(Role.WORKER, using="default", now=NOON, lease=lease)
    Process.objects.filter(pk=process.pk).update(host=host, pid=pid)


class NowhereRouter:
    def allow_migrate(self, db, app_label, **hints):
        return app_label != "sisy"


def test_valid_tasks_cause_no_check_message():
    saved()
    saved(Counter.objects.create().tick)
    Task.run_once(jobs.noop)
    assert check() == []


def test_the_database_is_not_queried_unless_check_names_it(django_assert_num_queries):
    by_raw_sql(saved(), "schedule", "61 * * * *")
    with django_assert_num_queries(0):
        assert stored.check_stored_tasks() == []
        assert stored.check_stored_tasks(databases=None) == []


def test_migrate_runs_the_check():
    by_raw_sql(saved(), "schedule", "61 * * * *")
    found = run_checks(tags=[Tags.database], databases=["default"])
    assert [message.id for message in found] == ["sisy.W008"]


def test_a_schedule_that_no_longer_works_is_named_once_for_all_its_tasks():
    for label in ("a", "b", "c"):
        by_raw_sql(saved(label=label), "schedule", "61 * * * *")
    [warning] = check()
    assert (warning.id, warning.obj) == ("sisy.W008", Task)
    assert warning.msg.startswith("The schedule '61 * * * *' (UTC) is not valid: ")
    assert warning.msg.endswith(" It is used by the task 'a' and 2 other tasks.")
    assert warning.hint == "Set a valid schedule and save each task."


def test_an_error_that_names_the_schedule_itself_is_not_introduced_by_it_again():
    by_raw_sql(saved(label="a"), "schedule", "0 5 * *")
    [warning] = check()
    assert warning.msg.startswith("The schedule '0 5 * *' has 4 fields, not five ")
    assert warning.msg.count("The schedule") == 1
    assert warning.msg.endswith(" It is used by the task 'a'.")


def test_invalid_tasks_do_not_stop_migrate():
    by_raw_sql(saved(), "schedule", "61 * * * *")
    by_raw_sql(saved(), "target_path", "tests.app.gone.away")
    assert {message.level for message in check()} == {WARNING}


def test_a_zone_that_no_longer_exists_is_named():
    by_raw_sql(saved(label="a"), "timezone", "Europe/Berlim")
    [warning] = check()
    assert "Unknown time zone 'Europe/Berlim'. Did you mean 'Europe/Berlin'?" in warning.msg


def test_a_broken_task_with_a_valid_schedule_is_reported_with_the_fix():
    task, other = saved(label="a"), saved(label="b", schedule="0 0 1 1 *")
    Task.objects.update(state=TaskState.BROKEN, next_run=None)
    warning, _ = check()
    assert warning.msg.startswith("The task 'a' is broken")
    exec(warning.hint.partition("run: ")[2], {"Task": Task})
    task.refresh_from_db()
    other.refresh_from_db()
    assert (task.state, other.state) == (TaskState.ACTIVE, TaskState.BROKEN)


def test_a_target_that_no_longer_works_is_named_with_the_reason():
    by_raw_sql(saved(label="a"), "target_path", "tests.app.jobs.nop")
    [warning] = check()
    assert warning.id == "sisy.W009"
    assert "task 'a'" in warning.msg
    assert "tests.app.jobs.nop does not exist" in warning.msg


def test_the_target_of_a_queued_run_is_checked_too():
    task = Task.run_once(jobs.noop, delay_until=NOON + timedelta(days=1))
    by_raw_sql(task, "target_path", "tests.app.jobs.two_parameters")
    [warning] = check()
    assert "must take exactly one parameter, named message" in warning.msg


def test_an_object_missing_at_the_last_run_is_named():
    task = saved(label="a")
    Task.objects.filter(pk=task.pk).update(target_error="TargetMissing: Counter 5 is gone.")
    [warning] = check()
    assert (warning.id, warning.msg) == (
        "sisy.W010",
        "When the task 'a' last ran, its function could not be found: "
        "TargetMissing: Counter 5 is gone.",
    )


def test_many_problems_of_one_kind_are_cut_short():
    for minute in range(60, 75):
        by_raw_sql(saved(), "schedule", f"{minute} * * * *")
    found = check()
    assert len(found) == stored.MAX_MESSAGES_SHOWN + 1
    assert found[-1].msg == "… and 5 more schedules."


def test_a_thousand_tasks_cost_as_many_queries_as_one(django_assert_max_num_queries):
    task = saved()
    copies = [Task(label=f"{n}", target_path=task.target_path) for n in range(1000)]
    Task.objects.bulk_create(copies)
    with django_assert_max_num_queries(8):
        assert check() == []


def test_missing_tables_cause_no_check_message():
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sisy_task RENAME TO sisy_task_kept")
    try:
        assert check() == []
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE sisy_task_kept RENAME TO sisy_task")


def test_tables_of_another_version_cause_no_check_message():
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sisy_task RENAME COLUMN target_error TO target_trouble")
    try:
        assert check() == []
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE sisy_task RENAME COLUMN target_trouble TO target_error")


def test_a_database_without_tasks_is_not_checked(settings, django_assert_num_queries):
    settings.DATABASE_ROUTERS = [NowhereRouter()]
    with django_assert_num_queries(0):
        assert check() == []


def test_several_processes_with_an_in_memory_layer_get_a_warning(settings):
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    up("here", 1)
    up("here", 1)
    assert ids(check()) == []
    up("there", 1, lease=timedelta(seconds=-1))
    assert ids(check()) == []
    up("here", 2)
    if connection.vendor == "postgresql":  # they reach each other through it
        assert ids(check()) == []
        return
    [warning] = check()
    assert warning.id == "sisy.W005"
    assert warning.msg.startswith("2 Sisy processes are running. CHANNEL_LAYERS")


def test_several_processes_without_a_layer_are_fine(settings):
    settings.CHANNEL_LAYERS = {}
    up("here", 1)
    up("here", 2)
    assert ids(check()) == []
