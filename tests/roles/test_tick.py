"""Tick by tick: what is planned, missed, set aside and retired."""

from datetime import timedelta

import pytest
from django.db import connection

from sisy.heartbeat import tick, timing_check
from sisy.models import Run, RunState, Task, TaskState
from sisy.worker.claim import claim
from tests.roles.steps import finish, states
from tests.support.clocks import clock_at
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]


def test_a_due_occurrence_is_planned_once_by_any_number_of_ticks():
    task = scheduled()
    for _ in range(4):
        tick("default", NOON + MINUTE)
    run = Run.objects.get()
    task.refresh_from_db()
    assert (run.due_at, run.state, run.task) == (NOON + MINUTE, RunState.QUEUED, task)
    assert task.next_run == NOON + 2 * MINUTE
    assert task.last_run == task.planned_until == NOON + MINUTE


def test_nothing_is_planned_before_its_moment():
    scheduled()
    tick("default", NOON + MINUTE - timedelta(microseconds=1))
    assert not Run.objects.exists()


def test_one_broken_row_does_not_stop_the_others():
    broken, fine = scheduled(), scheduled()
    Task.objects.filter(pk=broken.pk).update(next_run=NOON + MINUTE)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sisy_task SET schedule = '61 * * * *' WHERE id = %s", [broken.pk])
    tick("default", NOON + MINUTE)
    broken.refresh_from_db()
    assert broken.state == TaskState.BROKEN
    assert broken.state_reason == "minute: 61 is out of range. Use 0 to 59."
    assert fine.runs.count() == 1
    broken.schedule = "*/5 * * * *"
    broken.save()
    assert broken.state == TaskState.ACTIVE


def test_a_zone_that_no_longer_exists_sets_its_task_aside():
    broken, fine = scheduled(), scheduled()
    Task.objects.filter(pk=broken.pk).update(timezone="Mars/Olympus")
    tick("default", NOON + MINUTE)
    broken.refresh_from_db()
    assert (broken.state, fine.runs.count()) == (TaskState.BROKEN, 1)


def test_a_queryset_update_of_the_schedule_is_seen_by_the_next_tick():
    task = scheduled()
    Task.objects.filter(pk=task.pk).update(schedule="30 * * * *")
    tick("default", NOON + SECOND)
    task.refresh_from_db()
    assert task.next_run == NOON + 30 * MINUTE


def test_the_audit_finds_changes_by_raw_sql():
    task = scheduled()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sisy_task SET schedule = '30 * * * *' WHERE id = %s", [task.pk])
    assert timing_check.audit("default", NOON + SECOND, 0, task.pk) == 1
    assert timing_check.audit("default", NOON + SECOND, 0, task.pk) == 0
    task.refresh_from_db()
    assert task.next_run == NOON + 30 * MINUTE


def test_a_new_schedule_never_fires_for_the_past():
    task = scheduled("0 0 1 1 *")
    with clock_at(NOON + DAY):
        task.schedule = "0 * * * *"
        task.save()
    tick("default", NOON + DAY + SECOND)
    assert not Run.objects.exists()


def test_a_task_function_that_saves_its_task_never_moves_the_schedulers_columns():
    task = scheduled()
    stale = Task.objects.get(pk=task.pk)
    tick("default", NOON + MINUTE)
    stale.userdata["n"] = 1
    stale.save()
    task.refresh_from_db()
    assert task.next_run == NOON + 2 * MINUTE
    assert task.runs_planned == 1
    assert task.userdata == {"n": 1}


def test_a_stale_save_does_not_undo_another_edit():
    task = scheduled()
    stale = Task.objects.get(pk=task.pk)
    task.queue = "slow"
    task.save()
    stale.userdata["n"] = 1
    stale.save()
    task.refresh_from_db()
    assert task.queue == "slow"


def test_the_end_date_wins_over_the_count():
    task = scheduled(iterations=100, end_running=NOON + 2 * MINUTE)
    tick("default", NOON + MINUTE)
    [run] = claim(worker(), ["default"], 10, NOON + MINUTE)
    finish(run, NOON + MINUTE)
    assert not Task.objects.filter(pk=task.pk).exists()


def test_an_immediate_task_runs_at_once_and_then_on_schedule():
    task = scheduled("0 * * * *", wait_for_schedule=False)
    tick("default", NOON)
    task.refresh_from_db()
    assert Run.objects.get().due_at == NOON
    assert task.next_run == NOON + HOUR


def test_deleting_a_task_cancels_queued_runs_and_keeps_the_ledger():
    by_save, by_query = scheduled(), scheduled()
    tick("default", NOON + MINUTE)
    by_save.delete()
    Task.objects.filter(pk=by_query.pk).delete()
    assert states() == ["cancelled", "cancelled"]
    assert set(Run.objects.values_list("reason", flat=True)) == {"The task was deleted."}


def test_spread_delays_by_a_part_that_never_reaches_the_next_occurrence():
    tasks = [scheduled(spread=DAY) for _ in range(20)]
    tick("default", NOON + MINUTE)
    delays = {task.runs.get().ready_at - (NOON + MINUTE) for task in tasks}
    assert len(delays) > 10
    assert all(timedelta(0) <= delay < MINUTE for delay in delays)


def test_an_occurrence_already_in_the_ledger_is_not_planned_again():
    """Other tasks of the same tick are planned."""
    known, other = scheduled(), scheduled()
    known.new_run(now=NOON, due_at=NOON + MINUTE, state=RunState.SUCCEEDED).save()
    tick("default", NOON + MINUTE)
    known.refresh_from_db()
    assert (known.state, known.next_run) == (TaskState.ACTIVE, NOON + 2 * MINUTE)
    assert [run.state for run in known.runs.all()] == [RunState.SUCCEEDED]
    assert [run.state for run in other.runs.all()] == [RunState.QUEUED]
