"""If raw SQL changes the schedule of an overdue task, the old one says what it has missed."""

import pytest
from django.db import connection

from sisy.heartbeat import Heartbeat, tick, timing_check
from sisy.models import Run, RunState, Task, TaskState
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled

pytestmark = pytest.mark.django_db

LATER = NOON + HOUR + 90 * SECOND


def change(task, **columns):
    assignments = ", ".join(f"{name} = %s" for name in columns)
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE sisy_task SET {assignments} WHERE id = %s", [*columns.values(), task.pk]
        )


@pytest.fixture
def overdue(now):
    """Return a task that was due every 20 minutes, and that no heartbeat has planned since."""
    task = scheduled("*/20 * * * *")
    assert task.next_run == NOON + 20 * MINUTE
    now.moment = LATER
    return task


def due_of(state):
    return [(run.due_at, run.due_until, run.count) for run in Run.objects.filter(state=state)]


def test_what_was_due_by_the_old_schedule_is_in_the_ledger(overdue):
    change(overdue, schedule="7-59/10 * * * *")
    tick("default", LATER)
    assert due_of(RunState.QUEUED) == [(NOON + HOUR, None, 1)]
    assert due_of(RunState.MISSED) == [(NOON + 20 * MINUTE, NOON + 40 * MINUTE, 2)]


@pytest.mark.parametrize("end", [Task.pause, Task.delete])
def test_a_pause_or_deletion_records_what_the_old_schedule_has_missed(overdue, end):
    change(overdue, schedule="7-59/10 * * * *")
    end(Task.objects.get())
    assert due_of(RunState.MISSED) == [(NOON + 20 * MINUTE, NOON + HOUR, 3)]


def test_an_edit_records_what_the_schedule_before_raw_sql_has_missed(overdue):
    change(overdue, schedule="7-59/10 * * * *")
    task = Task.objects.get()
    task.schedule = "@yearly"
    task.save()
    assert due_of(RunState.MISSED) == [(NOON + 20 * MINUTE, NOON + HOUR, 3)]


@pytest.mark.parametrize(
    "window", [{"start_running": "2040-01-01 00:00:00"}, {"end_running": "2020-01-01 00:00:00"}]
)
def test_what_was_due_in_the_old_window_is_in_the_ledger(overdue, window):
    change(overdue, **window)
    tick("default", LATER)
    assert due_of(RunState.QUEUED) == [(NOON + HOUR, None, 1)]
    assert due_of(RunState.MISSED) == [(NOON + 20 * MINUTE, NOON + 40 * MINUTE, 2)]


def test_what_was_due_before_the_old_end_is_all_that_is_in_the_ledger(now):
    task = scheduled("*/20 * * * *", end_running=NOON + 30 * MINUTE)
    now.moment = LATER
    change(task, end_running=None)
    tick("default", LATER)
    assert [run.due_at for run in Run.objects.all()] == [NOON + 20 * MINUTE]
    task.refresh_from_db()
    assert (task.state, task.next_run) == (TaskState.ACTIVE, NOON + HOUR + 20 * MINUTE)


def test_a_schedule_that_was_not_valid_any_more_does_not_break_the_task(overdue):
    change(overdue, timing_fingerprint="|*/20 * * * *|Atlantis/Capital||")
    tick("default", LATER)
    assert due_of(RunState.QUEUED) == [(NOON + HOUR, None, 1)]
    overdue.refresh_from_db()
    assert (overdue.state, overdue.state_reason) == (TaskState.ACTIVE, "")


def test_the_new_schedule_applies_from_then_on(overdue):
    change(overdue, schedule="7-59/10 * * * *", timezone="Asia/Kolkata")
    tick("default", LATER)
    overdue.refresh_from_db()
    assert (overdue.schedule, overdue.timezone) == ("7-59/10 * * * *", "Asia/Kolkata")
    assert overdue.next_run == NOON + HOUR + 7 * MINUTE
    assert not Task.objects.with_stale_timing().exists()


def test_a_new_schedule_that_is_not_valid_loses_nothing_either(overdue):
    change(overdue, schedule="nonsense")
    tick("default", LATER)
    assert due_of(RunState.QUEUED) == [(NOON + HOUR, None, 1)]
    overdue.refresh_from_db()
    assert overdue.state == TaskState.BROKEN


def test_an_audit_leaves_a_due_task_to_be_planned_first(overdue):
    change(overdue, schedule="7-59/10 * * * *")
    assert timing_check.audit("default", LATER, 0, overdue.pk) == 0
    Heartbeat()._pass()
    assert sum(run.count for run in Run.objects.all()) == 3


def test_a_task_that_is_not_overdue_is_planned_by_its_columns(now):
    task = scheduled("*/20 * * * *")
    change(task, schedule="*/30 * * * *")
    now.moment = NOON + 20 * MINUTE
    tick("default", now.moment)
    task.refresh_from_db()
    assert task.next_run == NOON + 30 * MINUTE
