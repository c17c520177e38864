"""What Sisy does with what was enqueued, beyond what every backend does."""

import threading
from copy import deepcopy
from datetime import datetime, timedelta

import pytest
from django.core import checks
from django.db import transaction
from django.utils import timezone

from sisy.django_tasks.compat import (
    InvalidTask,
    TaskResultDoesNotExist,
    TaskResultStatus,
    signals,
    task_backends,
)
from sisy.models import Origin, Process, Run, Task
from sisy.runtime import signal_dispatch
from sisy.testing import sisy_time
from tests.app import django_jobs as jobs
from tests.roles.at_work import at_work
from tests.support.moments import NOON
from tests.support.waiting import wait_until


@pytest.fixture
def time(db):
    with sisy_time(NOON) as timeline:
        yield timeline


def test_the_ledger_shows_the_enqueued_task_and_its_options(time):
    result = jobs.add.using(priority=7).enqueue(3, second=4)
    [run] = Run.objects.all()
    assert result.id == f"run-{run.pk}"
    assert (run.target_path, run.label) == ("tests.app.django_jobs.add",) * 2
    assert (run.origin, run.queue, run.priority) == (Origin.ENQUEUED, "default", 7)
    assert run.payload == {
        "django.tasks": {
            "args": [3],
            "kwargs": {"second": 4},
            "backend": "default",
            "run_after": None,
        }
    }


def test_after_the_end_only_the_run_remains(time):
    result = jobs.add.enqueue(3)
    time.run_due()
    assert not Task.objects.exists()
    result.refresh()
    assert (result.return_value, Run.objects.get().result) == (4, 4)


def test_a_task_is_enqueued_with_the_callers_transaction(time):
    with transaction.atomic():
        result = jobs.add.enqueue(3)
        transaction.set_rollback(True)
    assert not Run.objects.exists()
    with pytest.raises(TaskResultDoesNotExist):
        jobs.add.get_result(result.id)


def test_a_task_runs_at_run_after(time):
    result = jobs.add.using(run_after=NOON + timedelta(hours=2)).enqueue(3)
    assert time.advance(hours=1) == []
    assert len(time.advance(hours=1)) == 1
    result.refresh()
    assert result.started_at == NOON + timedelta(hours=2)


def test_without_time_zones_moments_are_naive(time, settings):
    settings.USE_TZ = False
    result = jobs.add.using(run_after=datetime(2026, 5, 5, 13)).enqueue(3)
    assert (result.enqueued_at, result.task.run_after) == (
        datetime(2026, 5, 5, 12),
        datetime(2026, 5, 5, 13),
    )
    assert jobs.add.get_result(result.id) == result
    time.advance(hours=2)
    result.refresh()
    assert result.finished_at == datetime(2026, 5, 5, 13)


def test_options_are_policies_and_each_attempt_is_known(time):
    result = jobs.fail_at_first.using(backend="patient").enqueue()
    time.run_due()
    result.refresh()
    assert (result.status, result.attempts) == (TaskResultStatus.READY, 1)
    assert result.last_attempted_at == NOON
    time.advance(minutes=1)
    result.refresh()
    assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, "now")
    assert (result.attempts, len(result.worker_ids)) == (2, 2)
    time.close()  # the names of workers that have ended stay
    result.refresh()
    assert result.worker_ids == [str(Process.all_objects.get())] * 2
    [error] = result.errors
    assert error.exception_class is LookupError
    assert "Not yet" in error.traceback
    assert result.started_at == NOON < result.last_attempted_at


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: jobs.repeats.enqueue("x", times=70_000), "it has 70002 characters as JSON"),
        (lambda: jobs.is_not_a_number.enqueue(), "JSON cannot represent it"),
    ],
)
def test_a_return_value_that_was_not_stored_is_not_none(time, call, reason):
    result = call()
    time.run_due()
    result.refresh()
    assert result.status == TaskResultStatus.SUCCESSFUL
    for found in (result, result.task.get_result(result.id), deepcopy(result)):
        with pytest.raises(ValueError, match=f"The return value was not stored: {reason}"):
            assert found.return_value
    assert jobs.repeats.enqueue("x") != result


def test_a_task_may_return_none(time):
    result = jobs.returns_none.enqueue()
    time.run_due()
    result.refresh()
    assert result.return_value is None


@pytest.mark.parametrize("queue", ["mail", "default"])
def test_a_task_runs_after_its_queue_or_alias_left_the_settings(time, settings, queue):
    own = {"BACKEND": "sisy.backends.SisyBackend", "QUEUES": ["default", "mail"]}
    settings.TASKS = {"default": own, "old": own}
    alias = "default" if queue == "mail" else "old"
    result = jobs.asks.using(queue_name=queue, backend=alias).enqueue()
    settings.TASKS = {"default": {"BACKEND": "sisy.backends.SisyBackend"}}
    time.run_due()
    found = task_backends["default"].get_result(result.id)
    assert (found.status, found.return_value) == (TaskResultStatus.SUCCESSFUL, 1)
    assert (found.task.queue_name, found.task.backend) == (queue, alias)
    assert found.task.func is jobs.asks.func


def test_the_context_knows_earlier_attempts(time):
    jobs.fail_at_first.using(backend="patient").enqueue()
    time.run_due()
    Run.objects.update(target_path="tests.app.django_jobs.asks")
    time.advance(minutes=1)
    assert Run.objects.get().result == 2


def test_a_cancelled_result_has_failed_with_the_reason(time):
    result = jobs.add.enqueue(3)
    Run.objects.get().cancel("Not needed any more.")
    result.refresh()
    [error] = result.errors
    assert result.status == TaskResultStatus.FAILED
    assert (error.exception_class_path, error.traceback) == (
        "sisy.exceptions.RunCancelled",
        "Not needed any more.",
    )


def test_a_pruned_result_does_not_exist(time):
    result = jobs.add.enqueue(3)
    Run.objects.all().delete()
    with pytest.raises(TaskResultDoesNotExist):
        result.refresh()


def test_runs_that_were_not_enqueued_are_no_results(time):
    Task.run_once("tests.app.django_jobs.add", {"first": 1})
    time.run_due()
    with pytest.raises(TaskResultDoesNotExist):
        jobs.add.get_result(f"run-{Run.objects.get().pk}")


def test_a_retry_by_hand_calls_it_with_the_same_arguments(time):
    jobs.add.enqueue(3, second=4)
    time.run_due()
    again = Run.objects.get().retry()
    time.run_due()
    again.refresh_from_db()
    assert again.result == 7


def test_a_task_that_workers_cannot_import_is_rejected(time):
    with pytest.raises(InvalidTask, match=r"plain is not a django\.tasks task"):
        jobs.renamed.enqueue()


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({"OPTIONS": {"max_attempt": 3}}, "Did you mean 'max_attempts'"),
        ({"OPTIONS": {"max_attempts": 0}}, "max_attempts must be a whole number from 1 to 1000"),
        ({"OPTIONS": {"timeout": 5}}, "timeout must be a timedelta"),
        ({"OPTIONS": None}, "OPTIONS must be a dict, not NoneType."),
        ({"QUEUES": ["default", "höchste"]}, "is not a valid queue name"),
    ],
)
def test_an_invalid_backend_is_found_by_a_check_and_rejected(db, settings, params, complaint):
    settings.TASKS = {"default": {"BACKEND": "sisy.backends.SisyBackend", **params}}
    [found] = [one for one in task_backends["default"].check() if one.id == "sisy.E007"]
    assert complaint in found.msg
    assert isinstance(found, checks.Error)
    if "OPTIONS" in params:
        with pytest.raises(InvalidTask):
            jobs.add.enqueue(1)


@pytest.mark.django_db(transaction=True)
def test_signals_of_a_worker_show_the_state_when_they_were_sent():
    heard = []

    def hear(sender, task_result, **kwargs):
        heard.append((task_result.status, task_result.attempts, threading.current_thread().name))

    for signal in (signals.task_started, signals.task_finished):
        signal.connect(hear)
    try:
        with at_work():
            result = jobs.fail_at_first.using(backend="patient").enqueue()
            wait_until(lambda: jobs.fail_at_first.get_result(result.id).attempts == 1)
            Run.objects.update(ready_at=timezone.now())
            wait_until(lambda: jobs.fail_at_first.get_result(result.id).is_finished)
        signal_dispatch.flush(10)
    finally:
        for signal in (signals.task_started, signals.task_finished):
            signal.disconnect(hear)
    assert [status for status, *_ in heard] == ["RUNNING", "RUNNING", "SUCCESSFUL"]
    assert [attempts for _, attempts, _ in heard] == [1, 2, 2]
    assert {thread for *_, thread in heard} == {"sisy-signals"}
