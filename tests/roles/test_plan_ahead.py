"""What falls due within two seconds is planned before it is due, and starts when it is due."""

from datetime import timedelta

import pytest
from django.db import connection, connections, transaction

from sisy.heartbeat import plan_ahead as planning_ahead
from sisy.heartbeat import tick
from sisy.heartbeat.outlook import look
from sisy.heartbeat.plan_ahead import plan_ahead
from sisy.models import Origin, Role, Run, RunState, Task, TaskState
from sisy.models.lease import Lease
from sisy.planning.timing import LOOKAHEAD, occurrences
from sisy.records.small_tables import QueuedRun
from sisy.worker.claim import claim
from tests.support.clocks import clock_at as at
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

BEFORE = NOON + MINUTE - SECOND  # a second before a task that is due each minute


def dues():
    return list(Run.objects.order_by("due_at").values_list("due_at", flat=True))


def test_an_occurrence_is_planned_within_two_seconds_of_its_moment():
    task = scheduled()
    assert plan_ahead("default", NOON + MINUTE - LOOKAHEAD - SECOND) == 0
    assert plan_ahead("default", NOON + MINUTE - LOOKAHEAD) == 1
    run = Run.objects.get()
    assert (run.due_at, run.ready_at) == (NOON + MINUTE, NOON + MINUTE)
    assert (run.planned_at, run.origin) == (NOON + MINUTE - LOOKAHEAD, Origin.SCHEDULE)
    task.refresh_from_db()
    assert (task.next_run, task.runs_planned) == (NOON + 2 * MINUTE, 1)
    assert task.state == TaskState.ACTIVE


def test_each_occurrence_of_the_window_is_planned_once():
    scheduled("* * * * * *")
    for half in range(8):
        plan_ahead("default", NOON + half * SECOND / 2)
        plan_ahead("default", NOON + half * SECOND / 2)
    assert dues() == [NOON + n * SECOND for n in range(1, 6)]


def test_no_worker_claims_a_run_before_it_is_due():
    scheduled()
    plan_ahead("default", BEFORE)
    just_before = NOON + MINUTE - timedelta(microseconds=1)
    assert claim(worker(), ["default"], 10, just_before) == []
    assert len(claim(worker(), ["default"], 10, NOON + MINUTE)) == 1


def test_nothing_is_left_to_do_for_a_tick_at_the_moment():
    scheduled()
    plan_ahead("default", BEFORE)
    assert tick("default", NOON + MINUTE).planned == 0
    assert dues() == [NOON + MINUTE]


@pytest.mark.parametrize("fields", [{"spread": 10 * SECOND}, {"engine": "shop"}])
def test_runs_that_start_at_another_moment_or_elsewhere_are_planned_when_due(settings, fields):
    settings.SISY_ENGINES = {"shop": "shop"}
    Task._base_manager.filter(pk=scheduled().pk).update(**fields)
    assert plan_ahead("default", BEFORE) == 0


def test_iterations_are_never_exceeded():
    scheduled("* * * * * *", iterations=5)
    for second in range(10):
        plan_ahead("default", NOON + second * SECOND)
        tick("default", NOON + second * SECOND)
    assert dues() == [NOON + n * SECOND for n in range(1, 6)]


def test_paused_and_broken_tasks_are_not_planned_ahead():
    for state in (TaskState.PAUSED, TaskState.BROKEN):
        Task._base_manager.filter(pk=scheduled().pk).update(state=state)
    assert plan_ahead("default", BEFORE) == 0


def test_a_task_that_cannot_be_planned_ahead_does_not_stop_the_others():
    broken, good = scheduled(), scheduled()
    Task._base_manager.filter(pk=broken.pk).update(schedule="never")
    assert plan_ahead("default", BEFORE) == 1
    assert Run.objects.get().task_id == good.pk
    tick("default", NOON + MINUTE)
    broken.refresh_from_db()
    assert broken.state == TaskState.BROKEN


def test_an_occurrence_that_is_in_the_ledger_already_is_left_to_its_moment(caplog):
    task, other = scheduled(), scheduled()
    task.new_run(now=NOON, due_at=NOON + MINUTE).save()
    assert plan_ahead("default", BEFORE) == 1
    tick("default", NOON + MINUTE)
    assert Run.objects.filter(task=task, due_at=NOON + MINUTE).count() == 1
    assert Run.objects.filter(task=other, due_at=NOON + MINUTE).count() == 1
    assert "one by one" in caplog.text


def test_any_number_of_tasks_is_planned_in_chunks(monkeypatch):
    monkeypatch.setattr(planning_ahead, "PLAN_BATCH", 3)
    for n in range(10):
        scheduled(iterations=1 if n % 2 else None)
    announced = []
    assert plan_ahead("default", BEFORE, announced.extend) == 10
    assert sorted(run.pk for run in announced) == sorted(Run.objects.values_list("pk", flat=True))


@pytest.mark.skipif(connection.vendor == "sqlite", reason="it locks the whole database")
def test_a_task_that_another_transaction_has_locked_is_planned_by_a_later_pass():
    task, other = scheduled(), scheduled()
    connections["default"].ensure_connection()
    locking = connection.copy("locking")
    try:
        locking.set_autocommit(False)
        with locking.cursor() as cursor:
            cursor.execute("SELECT 1 FROM sisy_task WHERE id = %s FOR UPDATE", [task.pk])
        assert plan_ahead("default", BEFORE) == 1
        assert Run.objects.get().task_id == other.pk
        locking.rollback()
        assert plan_ahead("default", BEFORE) == 1
    finally:
        locking.close()


def test_a_run_that_is_not_due_yet_is_in_no_count():
    task = scheduled()
    plan_ahead("default", BEFORE)
    with at(BEFORE):
        assert task.counts() == {}
        assert task.cancel_runs() == task.cancel_queued() == 0
    with at(NOON + MINUTE):
        assert task.counts() == {"queued": 1}
        assert task.cancel_queued() == 1


def test_heartbeats_neither_wake_nor_ring_for_a_run_that_was_planned_ahead():
    scheduled()
    plan_ahead("default", BEFORE)
    lease = Lease(Role.HEARTBEAT, "default")
    assert look(lease.process(), "default", since=NOON).next_ready is None
    Task.run_once("tests.app.jobs.noop", delay_until=NOON + MINUTE)
    assert look(lease.process(), "default", since=NOON).next_ready == NOON + MINUTE


def test_forecasts_show_what_was_planned_ahead():
    task = scheduled("* * * * * *", iterations=4)
    expected = [NOON + n * SECOND for n in range(1, 5)]
    assert list(occurrences(task, NOON)) == expected
    plan_ahead("default", NOON)
    task.refresh_from_db()
    assert list(occurrences(task, NOON)) == expected
    assert list(occurrences(task, NOON + SECOND)) == expected[1:]
    assert list(occurrences(task, NOON, NOON + SECOND)) == expected[:1]


def test_a_planned_run_that_is_late_is_not_ahead_any_more():
    scheduled()
    plan_ahead("default", BEFORE)
    [run] = claim(worker(), ["default"], 1, NOON + MINUTE)
    with transaction.atomic():
        Run.objects.filter(pk=run.pk).update(
            state=RunState.QUEUED, ready_at=NOON + 2 * MINUTE, process=None
        )
    entry = QueuedRun.objects.get()
    assert (entry.is_delayed, entry.is_ahead) == (True, False)
