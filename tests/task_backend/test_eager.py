"""Tasks of django.tasks under SISY_EAGER: as with Django's immediate backend, they have ended."""

import pytest
from asgiref.sync import sync_to_async
from django.db import connections, transaction

from sisy import signals as own
from sisy.django_tasks.compat import TaskResultStatus, signals, task_backends
from sisy.models import Origin, Run, Task, task_with_callable
from tests.app import django_jobs, jobs
from tests.support.moments import NOON

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def eager(settings):
    settings.SISY_EAGER = True


@pytest.fixture
def heard():
    """Return what is told, in its order: the name of a signal, and the status or state then."""
    news = []
    connected = []

    def listen(name, signal, read):
        def hear(sender, **sent):
            news.append((name, read(sent)))

        signal.connect(hear)
        connected.append((signal, hear))

    for name in ("task_enqueued", "task_started", "task_finished"):
        listen(name, getattr(signals, name), lambda sent: sent["task_result"].status)
    for name in ("run_planned", "run_started", "run_finished"):
        listen(name, getattr(own, name), lambda sent: sent["run"].state)
    yield news
    for signal, hear in connected:
        signal.disconnect(hear)


def test_an_eager_result_is_finished():
    result = django_jobs.add.enqueue(1, second=2)
    assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, 3)
    assert result == task_backends["default"].get_result(result.id)
    failed = django_jobs.fails.enqueue()
    assert failed.status == TaskResultStatus.FAILED
    assert failed.errors[0].exception_class is ValueError


async def test_an_eager_result_is_finished_for_async_callers():
    result = await django_jobs.add.aenqueue(1, second=2)
    await sync_to_async(connections.close_all)()  # of the thread of async callers
    assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, 3)


def test_signals_are_sent_in_order(heard):
    django_jobs.add.enqueue(1)
    assert [(name, str(status)) for name, status in heard if name.startswith("task")] == [
        ("task_enqueued", "READY"),
        ("task_started", "RUNNING"),
        ("task_finished", "SUCCESSFUL"),
    ]
    assert [one for one in heard if one[0].startswith("run")] == [
        ("run_planned", "queued"),
        ("run_started", "running"),
        ("run_finished", "succeeded"),
    ]


def in_a_transaction(message):
    return transaction.get_connection().in_atomic_block


@pytest.mark.parametrize("submit", ["once", "many", "now", "retry", "backfill", "enqueue"])
def test_an_eager_task_runs_after_the_transaction_that_stored_it(submit, at_time):
    """A worker would begin then, too, and what runs on commit would wait for the wrong one."""
    at_time(NOON)
    task = task_with_callable(in_a_transaction, schedule="@hourly", timezone="UTC")
    task.save()
    if submit == "once":
        Task.run_once(in_a_transaction)
    elif submit == "many":
        Task.bulk_run_once(in_a_transaction, [{}, {}])
    elif submit == "enqueue":
        django_jobs.asks_for_its_transaction.enqueue()
    else:
        runs = [task.run_now()] if submit == "now" else []
        if submit == "retry":
            runs = [task.run_now().retry()]
        if submit == "backfill":
            runs = task.backfill(NOON.replace(hour=10), NOON)
        assert {(run.state, run.result) for run in runs} == {("succeeded", False)}
    assert {(run.state, run.result) for run in Run.objects.all()} == {("succeeded", False)}


def test_the_returned_result_equals_the_stored_one(at_time):
    at_time(NOON)
    task = task_with_callable(jobs.count_in_userdata, schedule="@hourly", timezone="UTC")
    task.save()
    run = task.run_now()
    assert (run.state, run.origin, run.attempt) == ("succeeded", Origin.MANUAL, 1)
    assert run.finished_at == NOON
    assert run.task.userdata == {"n": 1}
    failed = task_with_callable(jobs.fails, schedule="@hourly")
    failed.save()
    assert failed.run_now().reason == "RuntimeError: it was to be expected"


def test_a_failed_result_with_retries_left_is_returned_as_stored():
    result = django_jobs.fails.using(backend="patient").enqueue()
    assert result.status == TaskResultStatus.READY
    assert result.attempts == 1
    assert len(result.errors) == 1
