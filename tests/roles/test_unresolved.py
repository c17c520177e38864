"""Runs whose function a worker does not find, and that stay queued for another one that does."""

from datetime import timedelta

import pytest
from django.db import OperationalError

from sisy.execution.inline import call_inline
from sisy.execution.run_handle import RunHandle, ignore_outcome
from sisy.models import Attempt, Overlap, Run, RunState, Task
from sisy.worker.claim import claim
from sisy.worker.missing_code import Unresolved
from sisy.worker.record import record
from tests.app import jobs
from tests.app.models import Counter
from tests.roles.at_work import at_work
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored, worker
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

GONE = "tests.app.jobs.gone"
MISSING = frozenset({GONE})
REASON = f"TargetMissing: {GONE} does not exist: the module tests.app.jobs has no 'gone'."


def missing(schedule="@yearly", **fields):
    """Return a task whose function is not there."""
    task = scheduled(schedule, **fields)
    Task.objects.filter(pk=task.pk).update(target_path=GONE)
    return Task.objects.get(pk=task.pk)


def won(now=NOON, count=1, avoided=frozenset()):
    return claim(worker(now), ["default"], count, now, missing=avoided)


def tried(run, now):
    """Let the function of a run be called, and what comes of it be recorded."""
    handle = RunHandle(run, lambda: now, ignore_outcome)
    handle.begin()
    outcome = call_inline(handle, None)
    record("default", [(run, outcome)], now)
    return outcome


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_run_whose_code_is_missing_is_released_without_an_attempt(attempts):
    task = missing(max_attempts=attempts)
    run = task.run_now()
    [claimed] = won()
    tried(claimed, NOON)
    row = stored(run)
    assert (row.state, row.attempt, row.process_id, row.started_at) == ("queued", 0, None, None)
    assert (row.ready_at, row.unresolved_since) == (NOON, NOON)
    assert row.reason.startswith(f"Released for another worker: {REASON}")
    assert not Attempt.objects.exists()
    task.refresh_from_db()
    assert task.target_error == ""


def test_a_run_fails_if_no_worker_has_its_code_in_time(settings):
    settings.SISY_MISSING_CODE_SECONDS = 60
    task = missing()
    run = task.run_now()
    for now in (NOON, NOON + 59 * SECOND):
        tried(won(now)[0], now)
        assert stored(run).state == RunState.QUEUED
    tried(won(NOON + MINUTE)[0], NOON + MINUTE)
    row = stored(run)
    assert (row.state, row.attempt) == (RunState.FAILED, 1)
    assert row.reason.startswith(REASON)
    task.refresh_from_db()
    assert task.target_error == row.reason


def test_the_time_for_missing_code_restarts_with_each_attempt(settings):
    settings.SISY_MISSING_CODE_SECONDS = 60
    run = missing(max_attempts=2, retry_delay=timedelta(0)).run_now()
    for now in (NOON, NOON + MINUTE):  # released, and failed once
        tried(won(now)[0], now)
    assert (stored(run).state, stored(run).attempt) == (RunState.QUEUED, 1)
    tried(won(NOON + 90 * SECOND)[0], NOON + 90 * SECOND)
    assert (stored(run).state, stored(run).attempt) == (RunState.QUEUED, 1)


def test_without_a_grace_time_missing_code_fails_at_once(settings):
    settings.SISY_MISSING_CODE_SECONDS = 0
    run = missing().run_now()
    tried(won()[0], NOON)
    assert stored(run).state == RunState.FAILED


def test_a_worker_leaves_runs_of_missing_code_to_other_workers():
    missing_run = missing(priority=10).run_now()
    behind = scheduled("@yearly").run_now()
    tried(won()[0], NOON)
    later = NOON + SECOND
    assert [run.pk for run in won(later, 5, MISSING)] == [behind.pk]
    assert [run.pk for run in won(NOON + 2 * MINUTE, 5, MISSING)] == [missing_run.pk]


def test_runs_of_missing_code_do_not_replace_runnable_ones():
    """Of one task, the oldest run begins; it must be one that this worker can call."""
    task = missing(overlap=Overlap.BUFFER_ALL)
    old = task.run_now()
    tried(won()[0], NOON)
    Task.objects.filter(pk=task.pk).update(target_path="tests.app.jobs.noop")
    new = Task.objects.get(pk=task.pk).run_now()
    assert [run.pk for run in won(NOON + SECOND, 5, MISSING)] == [new.pk]
    assert stored(old).state == RunState.QUEUED


def test_a_released_run_is_not_skipped_for_a_later_one_of_its_task():
    task = missing(overlap=Overlap.SKIP)
    run = task.run_now()
    tried(won()[0], NOON)
    Task.objects.filter(pk=task.pk).update(target_path="tests.app.jobs.noop")
    Task.objects.get(pk=task.pk).run_now()
    assert len(won(NOON + SECOND, 1, MISSING)) == 1
    Run.objects.queued().update(target_path="tests.app.jobs.noop")
    assert won(NOON + HOUR, 5) == []
    assert stored(run).state == RunState.QUEUED


def test_a_released_run_is_cancelled_if_requested_or_if_its_task_is_deleted():
    first, second = missing(label="a").run_now(), missing(label="b").run_now()
    claimed = won(count=2)
    first.cancel("Not today.")
    Task.objects.filter(pk=second.task_id).delete()
    for run in claimed:
        tried(run, NOON)
    assert [(stored(run).state, stored(run).reason) for run in (first, second)] == [
        (RunState.CANCELLED, "Not today."),
        (RunState.CANCELLED, "The task was deleted."),
    ]


def test_a_method_of_a_deleted_object_fails_at_once():
    counter = Counter.objects.create()
    run = scheduled("@yearly", fn=counter.tick).run_now()
    Counter.objects.all().delete()
    tried(won()[0], NOON)
    assert stored(run).state == RunState.FAILED
    assert stored(run).error_class == "sisy.exceptions.ObjectMissing"


def test_a_database_outage_during_the_lookup_uses_no_attempt(monkeypatch):
    counter = Counter.objects.create()
    run = scheduled("@yearly", fn=counter.tick).run_now()
    [claimed] = won()

    def fail(self, *args, **kwargs):
        raise OperationalError("the database is away")

    with monkeypatch.context() as patched:
        patched.setattr("django.db.models.QuerySet.get", fail)
        handle = RunHandle(claimed, lambda: NOON, ignore_outcome)
        handle.begin()
        outcome = call_inline(handle, None)
    record("default", [(claimed, outcome)], NOON)
    assert (stored(run).state, stored(run).attempt) == (RunState.QUEUED, 0)
    assert "the database is away" in stored(run).reason


def test_a_run_on_another_engine_is_retried_at_growing_intervals():
    task = missing()
    run = task.run_now()
    Run.objects.update(engine="celery", dispatched_at=NOON)
    moments = []
    now = NOON
    for _ in range(6):
        [claimed] = claim(worker(now), ["default"], 1, now, "celery")
        tried(claimed, now)
        assert stored(run).dispatched_at is None
        moments.append((stored(run).ready_at - NOON).total_seconds())
        now = stored(run).ready_at
    assert moments == [1, 2, 4, 8, 16, 31]


def test_a_worker_retries_runs_that_it_left_to_others(monkeypatch):
    """Its own code may have changed, too."""
    clock = {"now": 0.0}
    monkeypatch.setattr("sisy.worker.missing_code.time.monotonic", lambda: clock["now"])
    missing().run_now()
    [claimed] = won()
    unresolved = Unresolved()
    assert unresolved.note([(claimed, tried(claimed, NOON))]) == [claimed]
    assert unresolved.paths() == MISSING
    clock["now"] = 30.0
    assert unresolved.paths() == frozenset()


def test_restored_code_runs_without_intervention(settings, monkeypatch):
    settings.SISY_MISSING_CODE_SECONDS = 8  # and two seconds for which it is left to others
    run = missing().run_now()
    with at_work():
        wait_until(lambda: stored(run).unresolved_since is not None)
        monkeypatch.setattr(jobs, "gone", jobs.noop, raising=False)
        wait_until(lambda: stored(run).state == RunState.SUCCEEDED)
    assert stored(run).attempt == 1
