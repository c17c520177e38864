"""What becomes of a task whose schedule, zone or window is changed, by whatever way."""

from datetime import datetime

import pytest
from django.db import connection

from sisy.heartbeat import tick, timing_check
from sisy.models import Run, Task, TaskState, task_with_callable
from tests.app import jobs
from tests.support.clocks import clock_at
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def test_a_tick_between_read_and_save_undoes_no_edit_and_is_not_undone():
    task = scheduled()
    edited = stored(task)
    edited.schedule = "0 * * * *"
    tick("default", NOON + MINUTE)
    with clock_at(NOON + MINUTE + SECOND):
        edited.save()
    kept = stored(task)
    assert (kept.schedule, kept.next_run) == ("0 * * * *", NOON + HOUR)
    assert (kept.planned_until, kept.last_run, kept.runs_planned) == (
        NOON + MINUTE,
        NOON + MINUTE,
        1,
    )


def test_a_new_schedule_counts_from_now_on_and_never_for_the_past():
    task = scheduled("0 0 1 1 *")
    with clock_at(NOON + 90 * MINUTE):
        task.schedule = "0 * * * *"
        task.save()
    assert task.next_run == stored(task).next_run == NOON + 2 * HOUR
    tick("default", NOON + 90 * MINUTE)
    assert not Run.objects.exists()


def test_a_new_schedule_repeats_no_occurrence_after_the_clock_was_set_back():
    task = scheduled()
    tick("default", NOON + MINUTE)
    with clock_at(NOON):
        task.schedule = "*/1 * * * *"
        task.save()
    assert stored(task).next_run == NOON + 2 * MINUTE


@pytest.mark.parametrize(
    ("name", "value", "next_run"),
    [
        ("timezone", "Asia/Kathmandu", NOON + 15 * MINUTE),
        ("start_running", NOON + 5 * HOUR, NOON + 5 * HOUR),
        ("schedule", "30 * * * *", NOON + 30 * MINUTE),
    ],
)
def test_each_column_of_the_timing_plans_again(name, value, next_run):
    task = scheduled("0 * * * *")
    setattr(task, name, value)
    task.save()
    assert stored(task).next_run == next_run


def test_a_window_that_ends_before_the_next_occurrence_retires_the_task():
    task = scheduled("0 * * * *")
    task.end_running = NOON + MINUTE
    task.save()
    assert (stored(task).state, stored(task).next_run) == (TaskState.RETIRED, None)


def test_a_save_of_the_schedule_in_the_middle_of_a_run_moves_no_mark():
    task = scheduled()
    tick("default", NOON + MINUTE)
    in_the_run = Run.objects.get().task
    with clock_at(NOON + MINUTE + SECOND):
        in_the_run.schedule = "*/5 * * * *"
        in_the_run.save()
    kept = stored(task)
    assert (kept.planned_until, kept.runs_planned) == (NOON + MINUTE, 1)
    tick("default", NOON + 5 * MINUTE)
    assert list(Run.objects.order_by("due_at").values_list("due_at", flat=True)) == [
        NOON + MINUTE,
        NOON + 5 * MINUTE,
    ]


def test_a_queryset_update_of_the_schedule_is_planned_by_the_next_tick():
    task = scheduled()
    Task.objects.filter(pk=task.pk).update(schedule="30 * * * *")
    assert stored(task).next_run is None
    tick("default", NOON + SECOND)
    assert stored(task).next_run == NOON + 30 * MINUTE


def test_a_queryset_update_of_something_else_plans_nothing_again():
    task = scheduled()
    Task.objects.filter(pk=task.pk).update(queue="slow")
    assert stored(task).next_run == NOON + MINUTE


def test_a_queryset_update_of_the_schedule_does_not_wake_a_paused_task():
    task = scheduled()
    task.pause()
    Task.objects.filter(pk=task.pk).update(schedule="30 * * * *")
    tick("default", NOON + HOUR)
    assert (stored(task).state, Run.objects.count()) == (TaskState.PAUSED, 0)


@pytest.mark.parametrize(
    ("column", "value", "next_run"),
    [
        ("schedule", "30 * * * *", NOON + 30 * MINUTE),
        ("timezone", "Asia/Kathmandu", NOON + 15 * MINUTE),
        ("start_running", NOON + 5 * HOUR, NOON + 5 * HOUR),
    ],
)
def test_the_audit_finds_a_raw_sql_change_once(column, value, next_run):
    task, other = scheduled("0 * * * *"), scheduled("0 * * * *")
    if isinstance(value, datetime) and connection.vendor == "sqlite":
        value = value.replace(tzinfo=None).isoformat(" ")
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE sisy_task SET {column} = %s WHERE id = %s", [value, task.pk])
    assert timing_check.audit("default", NOON, 0, other.pk) == 1
    assert timing_check.audit("default", NOON, 0, other.pk) == 0
    assert (stored(task).next_run, stored(other).next_run) == (next_run, NOON + HOUR)


def test_an_update_of_many_tasks_loses_no_occurrence():
    tasks = [
        task_with_callable(jobs.noop, label=f"task {n}", schedule="0 0 1 1 *", timezone="UTC")
        for n in range(timing_check.RESCHEDULE_BATCH + 1)
    ]
    Task.objects.bulk_create(tasks)
    Task.objects.update(schedule="1 12 5 5 *")
    tick("default", NOON)
    tick("default", NOON + MINUTE)
    assert Run.objects.filter(due_at=NOON + MINUTE).count() == len(tasks)


def test_occurrences_missed_after_an_update_without_a_heartbeat_are_recorded():
    task = scheduled("0 0 1 1 *")
    with clock_at(NOON + HOUR):
        Task.objects.filter(pk=task.pk).update(schedule="30 * * * *")
    tick("default", NOON + 4 * HOUR)
    runs = list(Run.objects.order_by("due_at").values_list("due_at", "state", "count"))
    assert runs == [
        (NOON + HOUR + 30 * MINUTE, "missed", 2),
        (NOON + 3 * HOUR + 30 * MINUTE, "queued", 1),
    ]


UNREADABLE = {"sqlite": "2026-13-45 00:00:00", "postgresql": "infinity"}  # MariaDB stores no such


@pytest.mark.skipif(connection.vendor not in UNREADABLE, reason="it can store nothing unreadable")
@pytest.mark.parametrize("step", ["tick", "audit"])
def test_an_unreadable_row_does_not_stop_the_others(step):
    broken, fine = scheduled(), scheduled()
    Task.objects.update(schedule="*/2 * * * *")
    with connection.cursor() as cursor:
        sql = "UPDATE sisy_task SET end_running = %s WHERE id = %s"
        cursor.execute(sql, [UNREADABLE[connection.vendor], broken.pk])
    if step == "audit":
        timing_check.audit("default", NOON, 0, fine.pk)
    tick("default", NOON)
    tick("default", NOON + 2 * MINUTE)
    assert list(Run.objects.values_list("task", flat=True)) == [fine.pk]
    state, reason = Task.objects.filter(pk=broken.pk).values_list("state", "state_reason").get()
    assert state == TaskState.BROKEN
    assert reason.startswith("Could not plan the task: ")


def change_by_save(task):
    task.schedule = "0 0 1 1 *"
    task.save()


def change_by_update(task):
    Task.objects.filter(pk=task.pk).update(schedule="0 0 1 1 *")


CHANGED = (
    "The schedule was changed before a heartbeat planned the task. Occurrences of the old "
    "schedule do not run."
)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_by_save, CHANGED),
        (change_by_update, CHANGED),
        (
            Task.pause,
            "The task was paused before a heartbeat planned it. Occurrences during a pause do not "
            "run.",
        ),
        (Task.delete, "The task was deleted."),
        (lambda task: Task.objects.all().delete(), "The task was deleted."),
    ],
)
def test_occurrences_overdue_at_a_change_are_recorded(change, reason):
    """No heartbeat was up: an edit must not swallow what it should have planned."""
    task = scheduled("*/10 * * * *")
    with clock_at(NOON + HOUR + MINUTE):
        change(stored(task))
        tick("default", NOON + HOUR + MINUTE)
    [row] = Run.objects.all()
    assert (row.state, row.count, row.reason) == ("missed", 6, reason)
    assert (row.due_at, row.due_until) == (NOON + 10 * MINUTE, NOON + HOUR)


@pytest.mark.parametrize("change", [change_by_save, change_by_update, Task.pause, Task.delete])
def test_a_change_with_nothing_overdue_leaves_no_row(change):
    change(scheduled())
    assert not Run.objects.exists()


def test_overdue_occurrences_are_counted_by_the_old_window():
    task = scheduled("* * * * *", end_running=NOON + 5 * MINUTE)
    with clock_at(NOON + HOUR):
        Task.objects.filter(pk=task.pk).update(end_running=None)
    assert Run.objects.get().count == 4


def test_an_overdue_task_with_an_invalid_schedule_can_be_fixed():
    task = scheduled()
    invalid = {"timezone": "Mars/Olympus", "timing_fingerprint": ""}
    Task._base_manager.filter(pk=task.pk).update(**invalid)
    Task._base_manager.filter(pk=task.pk).update(state=TaskState.ACTIVE, next_run=NOON + MINUTE)
    task = stored(task)
    task.timezone = "UTC"
    with clock_at(NOON + HOUR):
        task.save()
    assert Run.objects.get().count == 1
    assert stored(task).next_run == NOON + HOUR + MINUTE


@pytest.mark.parametrize("change", [change_by_save, change_by_update, Task.pause, Task.delete])
def test_occurrences_between_an_update_and_a_later_change_are_recorded(change):
    """No heartbeat has computed since then when it is due."""
    task = scheduled()
    Task.objects.filter(pk=task.pk).update(schedule="*/20 * * * *")
    with clock_at(NOON + HOUR + MINUTE):
        change(stored(task))
    [row] = Run.objects.all()
    assert (row.count, row.due_at, row.due_until) == (3, NOON + 20 * MINUTE, NOON + HOUR)


def test_a_task_due_immediately_stays_due_if_changed_before_the_first_tick():
    task = scheduled("0 0 1 1 *", wait_for_schedule=False)
    with clock_at(NOON + MINUTE):
        change_by_save(stored(task))
        tick("default", NOON + MINUTE)
    assert [run.state for run in Run.objects.all()] == ["queued"]


@pytest.mark.parametrize("change", [change_by_save, change_by_update, Task.pause])
def test_a_change_keeps_the_immediate_run_and_records_missed_occurrences(change):
    """An occurrence is missed if it was due under the old schedule before the change."""
    task = scheduled("*/20 * * * *", wait_for_schedule=False)
    with clock_at(NOON + HOUR):
        change(stored(task))
        Task.resume(stored(task))
        tick("default", NOON + HOUR)
    runs = Run.objects.order_by("due_at").values_list("due_at", "due_until", "state", "count")
    assert list(runs) == [
        (NOON + 20 * MINUTE, NOON + 40 * MINUTE, "missed", 2),
        (NOON + HOUR, None, "queued", 1),
    ]


@pytest.mark.parametrize("delete", [Task.delete, lambda task: Task.objects.all().delete()])
def test_a_deletion_records_an_immediate_run_that_was_due(delete):
    task = scheduled("*/20 * * * *", wait_for_schedule=False)
    with clock_at(NOON + MINUTE):
        delete(stored(task))
    [row] = Run.objects.all()
    assert (row.state, row.count, row.due_at) == ("missed", 1, NOON)


def test_an_immediate_run_survives_an_unreadable_schedule():
    task = scheduled("*/20 * * * *", wait_for_schedule=False)
    invalid = {"timezone": "Mars/Olympus", "timing_fingerprint": ""}
    Task._base_manager.filter(pk=task.pk).update(**invalid)
    task = stored(task)
    task.timezone = "UTC"
    with clock_at(NOON + HOUR):
        task.save()
        tick("default", NOON + HOUR)
    assert [(run.due_at, run.state) for run in Run.objects.all()] == [(NOON + HOUR, "queued")]
