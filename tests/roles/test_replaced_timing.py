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
