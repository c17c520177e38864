"""Runs that other engines carry out: handed over, won in the ledger, and handed over again."""

import html
from datetime import timedelta

import pytest
from django.db import InterfaceError, OperationalError, connection

from sisy import current_run
from sisy.django_tasks.compat import task_backends
from sisy.engines import execute
from sisy.engines.dispatch import dispatch, refuse_unknown
from sisy.engines.execute import execute_dispatched
from sisy.heartbeat.rescue import rescue_orphans
from sisy.models import Process, Queue, Role, Run, Task, task_with_callable
from sisy.reports.alerts import find_alerts
from sisy.reports.alerts.health import health
from sisy.reports.queues import queues
from sisy.runtime import loop
from sisy.signals import run_rejected
from sisy.store.levels import Level, ready_moments
from sisy.worker.claim import claim
from tests.app import jobs
from tests.app.models import Execution
from tests.roles.steps import finish, states
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

NOW_ENGINE, LATER_ENGINE = "at once", "some day"


@pytest.fixture(autouse=True)
def forgetful():
    task_backends["forgetful"].clear()
    return task_backends["forgetful"]


def run_of(engine=LATER_ENGINE, fn=jobs.noop, **fields):
    return scheduled(fn=fn, engine=engine, **fields).run_now()


def handed_to(backend):
    return [result.args[0] for result in backend.results]


def test_a_run_keeps_the_engine_alias_of_the_moment_it_was_planned():
    assert run_of(NOW_ENGINE).engine == "immediate"
    assert run_of("default").engine == ""


def test_an_immediate_engine_leaves_the_run_succeeded():
    run = run_of(NOW_ENGINE, sum_up, userdata={"a": 1, "b": 2})
    assert dispatch("default", NOON) == 1
    row = stored(run)
    assert (row.state, row.result, row.attempt, row.dispatched_at) == ("succeeded", 3, 1, NOON)
    assert row.worker_name.startswith("engine ")
    assert not Process.objects.exists()


def test_an_async_function_is_awaited():
    run = run_of(NOW_ENGINE, asum_up, userdata={"a": 1, "b": 2})
    dispatch("default", NOON)
    assert stored(run).result == 3


def test_an_engine_receives_a_primary_key_and_may_execute_the_run_later(forgetful):
    run = run_of()
    dispatch("default", NOON)
    assert (handed_to(forgetful), stored(run).state) == ([run.pk], "queued")
    execute_dispatched(run.pk)
    assert stored(run).state == "succeeded"


def test_duplicates_are_harmless(forgetful):
    run = run_of()
    for _ in range(3):
        execute_dispatched(run.pk)
    assert (stored(run).state, stored(run).attempt) == ("succeeded", 1)
    execute_dispatched(run.pk + 1000)


def test_workers_of_sisy_leave_it_alone():
    run_of()
    assert ready_moments("default", [Level("default")], NOON) == (False, None)
    assert claim(worker(), ["default"], 10, NOON) == []


def test_a_run_is_dispatched_again_if_the_engine_takes_too_long(settings, forgetful):
    settings.SISY_DISPATCH_SECONDS = 60
    run = run_of()
    for moment in (NOON, NOON + SECOND, NOON + 59 * SECOND, NOON + MINUTE, NOON + MINUTE + SECOND):
        dispatch("default", moment)
    assert handed_to(forgetful) == [run.pk, run.pk]


def test_a_failing_engine_is_retried_soon(monkeypatch, forgetful, caplog):
    run = run_of()
    outages = {}
    with monkeypatch.context() as broken:
        broken.setattr(forgetful, "enqueue", lambda *args: 1 / 0)
        for seconds in (0, 1, 2):
            dispatch("default", NOON + seconds * SECOND, outages)
    assert caplog.text.count("Sending runs to 'forgetful'") == 1
    dispatch("default", NOON + 5 * SECOND, outages)
    assert handed_to(forgetful) == [run.pk]


def test_a_failing_engine_does_not_delay_the_others(monkeypatch, forgetful):
    monkeypatch.setattr(forgetful, "enqueue", lambda *args: 1 / 0)
    run_of(priority=9)
    run = run_of(NOW_ENGINE)
    dispatch("default", NOON)
    assert stored(run).state == "succeeded"


def test_a_rescued_run_is_dispatched_immediately(forgetful):
    run = run_of()
    dispatch("default", NOON)
    Run.objects.filter(pk=run.pk).update(state="running", process=12345, attempt=1)
    rescue_orphans("default", NOON + SECOND)
    dispatch("default", NOON + SECOND)
    assert handed_to(forgetful) == [run.pk, run.pk]


def test_a_retry_is_dispatched_when_it_is_due(forgetful):
    run = run_of(fn=jobs.fails, max_attempts=2, retry_delay=10 * SECOND)
    execute_dispatched(run.pk)
    row = stored(run)
    assert (row.state, row.attempts.count()) == ("queued", 1)
    dispatch("default", row.ready_at - timedelta(microseconds=1))
    assert handed_to(forgetful) == []
    dispatch("default", row.ready_at)
    assert handed_to(forgetful) == [run.pk]


def test_the_overlap_policy_applies_on_engines_too(forgetful):
    task = scheduled(engine=LATER_ENGINE, overlap="buffer_all")
    first, second = task.run_now(), task.run_now()
    dispatch("default", NOON)
    [going] = claim(worker(), ["default"], 1, NOON, "forgetful")
    execute_dispatched(second.pk)
    assert (going.pk, stored(second).state) == (first.pk, "queued")
    finish(going, NOON)
    execute_dispatched(second.pk)
    assert stored(second).state == "succeeded"


def test_a_run_that_waited_for_another_is_dispatched_afterwards(forgetful):
    task = scheduled(engine=LATER_ENGINE, overlap="buffer_all")
    first, second = task.run_now(), task.run_now()
    dispatch("default", NOON)
    execute_dispatched(first.pk)
    dispatch("default", NOON + SECOND)
    assert handed_to(forgetful) == [first.pk, second.pk, second.pk]


def test_runs_of_a_paused_queue_are_not_dispatched(forgetful):
    run = run_of()
    Queue.objects.pause("default")
    dispatch("default", NOON)
    execute_dispatched(run.pk)
    assert (handed_to(forgetful), stored(run).state) == ([], "queued")
    Queue.objects.resume("default")
    dispatch("default", NOON)
    assert handed_to(forgetful) == [run.pk]


def test_a_cancelled_run_does_not_start():
    run = run_of()
    run.cancel()
    execute_dispatched(run.pk)
    assert stored(run).state == "cancelled"


def test_a_run_whose_engine_was_removed_fails_with_the_reason(
    settings, django_capture_on_commit_callbacks
):
    settings.SISY_MISSING_CODE_SECONDS = 60
    ended = []
    run = run_of()
    Run.objects.update(engine="celery")
    run_rejected.connect(hear := lambda run, **kwargs: ended.append(run.pk))
    assert dispatch("default", NOON) == 0
    # The settings of another heartbeat may have the engine.
    assert refuse_unknown("default", NOON + 59 * SECOND) == 0
    with django_capture_on_commit_callbacks(execute=True):
        assert refuse_unknown("default", NOON + MINUTE) == 1
    run_rejected.disconnect(hear)
    assert ended == [run.pk]
    row = stored(run)
    assert (row.state, row.reason) == (
        "failed",
        "SISY_ENGINES has no engine 'celery'.",
    )


def test_a_task_can_only_name_a_configured_engine():
    with pytest.raises(ValueError, match="Did you mean 'at once'"):
        task_with_callable(jobs.noop, engine="at-once").save()


def test_without_other_engines_no_query_is_made(settings, django_assert_num_queries):
    settings.SISY_ENGINES = {}
    scheduled().run_now()
    assert dispatch("default", NOON) == 0
    assert states() == ["queued"]


def test_the_current_run_is_available_on_engines():
    run = run_of(NOW_ENGINE, say_who)
    dispatch("default", NOON)
    assert stored(run).result == [run.pk, 1]


def sum_up(message):
    return sum(message["task"].userdata.values())


async def asum_up(message):
    return sum_up(message)


def say_who(message):
    return [current_run().id, message["message"]["attempt"]]


@pytest.mark.parametrize(
    ("engine", "alias"), [("own", ""), (NOW_ENGINE, "immediate"), (LATER_ENGINE, "forgetful")]
)
@pytest.mark.parametrize("default", ["sisy", "immediate"])
def test_a_run_whose_task_was_deleted_is_retried_on_its_engine(settings, engine, alias, default):
    settings.SISY_ENGINES = {**settings.SISY_ENGINES, "own": "sisy", "default": default}
    Task.run_once(jobs.noop, engine=engine)
    Run.objects.update(state="failed")
    Task.objects.all().delete()
    again = Run.objects.get().retry()
    assert (again.engine, again.task.runs_once) == (alias, True)


def test_a_deleted_task_takes_its_runs_with_it(forgetful):
    run = run_of()
    Task.objects.all().delete()
    execute_dispatched(run.pk)
    assert stored(run).state == "cancelled"
    assert connection.in_atomic_block


def test_a_runs_engine_is_shown_and_its_queue_needs_no_worker(admin_client):
    run = run_of(queue="heavy")
    dispatch("default", NOON)
    page = admin_client.get(f"/sisy/runs/{run.pk}/").content.decode()
    assert "forgetful" in page
    assert "sent" in page
    assert "heavy" not in {queue.name for queue in queues("default", NOON)}
    assert not any("heavy" in alert.queues for alert in find_alerts("default", NOON))
    alerts = find_alerts("default", NOON + 2 * MINUTE, in_full=True)
    assert "Engine 'forgetful': 1 run has not started." in [one.why for one in alerts]


def test_the_dashboard_shows_the_engine_of_a_run_and_of_a_task(admin_client):
    run = run_of(queue="heavy")
    dispatch("default", NOON)
    page = admin_client.get(f"/sisy/runs/{run.pk}/")
    assert "forgetful" in page.content.decode()
    page = admin_client.get(f"/sisy/tasks/{run.task_id}/")
    assert "Engine 'some day', queue 'heavy'." in html.unescape(page.content.decode())


@pytest.mark.django_db(transaction=True)
def test_an_outage_at_the_end_of_a_run_causes_no_second_run(monkeypatch, caplog):
    run = run_of(fn=jobs.record)
    failing = iter([OperationalError("gone"), InterfaceError("closed")])
    really_record = execute.record

    def record(*args):
        for error in failing:
            raise error
        really_record(*args)

    monkeypatch.setattr(execute, "record", record)
    monkeypatch.setattr(loop, "RETRY_INTERVAL", 0.0)
    execute_dispatched(run.pk)
    assert (stored(run).state, stored(run).attempt) == ("succeeded", 1)
    assert Execution.objects.count() == 1
    assert caplog.text.count(f"Recording the outcome of run {run.pk}") == 2


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", ["claim_one", "record", "_send_others"])
def test_a_transaction_aborted_by_a_deadlock_is_retried(monkeypatch, caplog, step):
    run = run_of(fn=jobs.record)
    deadlocks = iter([OperationalError(1213, "Deadlock found when trying to get lock")])
    really = getattr(execute, step)

    def at_the_second_try(*args):
        for error in deadlocks:
            raise error
        return really(*args)

    monkeypatch.setattr(execute, step, at_the_second_try)
    execute_dispatched(run.pk)
    assert (stored(run).state, stored(run).attempt) == ("succeeded", 1)
    assert Execution.objects.count() == 1
    assert not caplog.text
    assert not Process.objects.exists()


def test_a_site_that_uses_only_other_engines_is_healthy_without_a_worker(settings):
    settings.SISY_ENGINES = {"default": "forgetful", "own": "sisy"}
    Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=MINUTE)
    scheduled()
    found = {one.name: one for one in health("default", NOON, ["default"], MINUTE)}
    assert all(one.is_well for one in found.values())
    assert (
        "because 'forgetful' executes the runs of this queue" in found["workers for default"].words
    )
    scheduled(engine="own")
    found = {one.name: one for one in health("default", NOON, ["default"], MINUTE)}
    assert not found["workers for default"].is_well
