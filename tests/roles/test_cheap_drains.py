"""What a worker leaves out so that short runs cost little, and what it must not leave out."""

from datetime import UTC

import pytest
from django.db import connection
from django.db.models.signals import post_delete

from sisy import signals
from sisy.models import Run, RunState, Task
from sisy.worker.claim import claim
from tests.app import jobs
from tests.roles.at_work import wait_until
from tests.roles.steps import finish
from tests.support.moments import NOON, SECOND
from tests.support.records import stored, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]


def submitted(count, **fields):
    return [Task.run_once(jobs.noop, {"n": n, "in": {"deep": []}}, **fields) for n in range(count)]


def claimed(count=9):
    return claim(worker(), ["default"], count, NOON + SECOND)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="only psycopg's cursors are kept")
def test_a_claim_makes_no_cursor(monkeypatch):
    submitted(3)
    claimed(1)  # opens what is kept
    made, make = [], connection.create_cursor
    process = worker()
    monkeypatch.setattr(
        connection, "create_cursor", lambda *name: made.append(name) or make(*name)
    )
    assert len(claim(process, ["default"], 9, NOON + SECOND)) == 2
    assert made == []


def test_claimed_records_are_as_those_that_django_reads():
    submitted(2)
    for run in claimed():
        again = stored(run)
        task, read = run.task, again.task
        for column in Run._meta.concrete_fields:
            assert getattr(run, column.attname) == getattr(again, column.attname)
        for column in Task._meta.concrete_fields:
            assert getattr(task, column.attname) == getattr(read, column.attname)
        assert (run.ready_at.tzinfo, task.created_at.tzinfo) == (UTC, UTC)


def test_a_claimed_task_notices_its_changes():
    submitted(1)
    [run] = claimed()
    assert run.task.changed_columns() == set()
    run.task.userdata["in"]["deep"].append(1)
    assert run.task.changed_columns() == {"_extra_data"}
    run.task.label = "other"
    run.task.save()
    assert (stored(run.task).label, stored(run.task).userdata["in"]) == ("other", {"deep": [1]})
    assert run.task.changed_columns() == set()


def test_a_receiver_is_called_for_each_one_shot_that_is_deleted():
    tasks = submitted(2)
    gone = []

    def hear(sender, instance, **kwargs):
        gone.append(instance.pk)

    post_delete.connect(hear, sender=Task)
    try:
        for run in claimed():
            finish(run, NOON + SECOND)
    finally:
        post_delete.disconnect(hear, sender=Task)
    assert sorted(gone) == sorted(task.pk for task in tasks)
    assert not Task.objects.exists()


def test_a_one_shot_stays_while_another_run_of_it_is_queued():
    [task] = submitted(1)
    [run] = claimed()
    task.run_now()
    finish(run, NOON + SECOND)
    assert Task.objects.get() == task
    [other] = claimed()
    finish(other, NOON + SECOND)
    assert not Task.objects.exists()


def test_a_run_that_succeeds_calls_no_receiver_to_log_it():
    called, _ = signals.run_finished._live_receivers(Run)
    assert not [each for each in called if each.__module__.startswith("sisy.messaging")]


def test_runs_that_fail_are_logged_though(caplog):
    submitted(2)
    first, second = claimed()
    finish(first, NOON + SECOND)
    finish(second, NOON + SECOND, RunState.FAILED, reason="KeyError: 'n'")
    wait_until(lambda: "failed: KeyError" in caplog.text)
    assert f"#{first.pk}" not in caplog.text
