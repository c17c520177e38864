"""How the ends of runs are written down, and what follows from them."""

from datetime import timedelta

import pytest
from django.db import DataError, OperationalError

from sisy import signals
from sisy.heartbeat import tick
from sisy.lifecycle import finish as finishing
from sisy.lifecycle.release import TIME_TO_GO, release, release_running
from sisy.lifecycle.retry import retry_delay
from sisy.models import OnLost, Run, RunState, Task
from sisy.worker.claim import claim
from sisy.worker.record import record
from tests.roles.steps import LEASE, finish, outcome, states
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]


def test_a_task_is_deleted_after_its_iterations_and_its_history_stays():
    task = scheduled(iterations=2)
    for minute in (1, 2):
        now = NOON + minute * MINUTE
        tick("default", now)
        [run] = claim(worker(), ["default"], 10, now)
        finish(run, now)
    assert not Task.objects.filter(pk=task.pk).exists()
    assert states() == ["succeeded", "succeeded"]
    assert {run.task for run in Run.objects.all()} == {None}


def test_the_runs_of_a_dead_worker_run_again_and_the_zombie_changes_nothing():
    scheduled()
    tick("default", NOON + MINUTE)
    [zombie] = claim(worker(NOON + MINUTE, LEASE), ["default"], 10, NOON + MINUTE)
    later = NOON + MINUTE + LEASE + SECOND
    tick("default", later)
    [again] = claim(worker(later, LEASE), ["default"], 10, later)
    finish(zombie, later, state=RunState.FAILED)
    assert states() == ["running"]
    finish(again, later)
    run = Run.objects.get()
    assert (run.state, run.attempt, run.times_lost) == (RunState.SUCCEEDED, 2, 1)


@pytest.mark.parametrize("is_first", [True, False])
def test_an_attempt_that_was_lost_is_not_recorded_with_a_later_one(is_first):
    scheduled()
    tick("default", NOON + MINUTE)
    frozen = worker(NOON + MINUTE, LEASE)
    [zombie] = claim(frozen, ["default"], 10, NOON + MINUTE)
    later = NOON + MINUTE + LEASE + SECOND
    tick("default", later)
    [again] = claim(worker(later, LEASE), ["default"], 10, later)
    failed, succeeded = outcome(later, RunState.FAILED), outcome(later)
    ended = [(zombie, failed), (again, succeeded)]
    received = []

    def receive(run, **kwargs):
        received.append((run.attempt, run.state))

    signals.run_finished.connect(receive)
    try:
        record("default", ended if is_first else ended[::-1], later)
    finally:
        signals.run_finished.disconnect(receive)
    assert received == [(2, RunState.SUCCEEDED)]
    assert states() == ["succeeded"]


def test_a_run_that_must_not_repeat_is_lost_with_its_worker():
    scheduled(on_lost=OnLost.FAIL)
    tick("default", NOON + MINUTE)
    claim(worker(NOON + MINUTE, LEASE), ["default"], 10, NOON + MINUTE)
    tick("default", NOON + MINUTE + LEASE + SECOND)
    run = Run.objects.get()
    assert run.state == RunState.LOST
    assert "did not renew its lease" in run.reason


def test_a_released_run_uses_no_attempt():
    scheduled()
    tick("default", NOON + MINUTE)
    runs = claim(worker(), ["default"], 10, NOON + MINUTE)
    assert release_running("default", runs, "Its worker stopped", NOON + 2 * MINUTE) == 1
    run = Run.objects.get()
    assert (run.state, run.attempt, run.process_id) == (RunState.QUEUED, 0, None)
    assert run.reason == "Its worker stopped."


def test_a_handed_over_run_starts_when_its_worker_is_gone():
    """A thread cannot be ended, and goes on until its process has ended."""
    run, now = claimed(), NOON + 2 * MINUTE
    release_running("default", [run], "Its worker stopped", now)
    assert claim(worker(now), ["default"], 1, now) == []
    assert len(claim(worker(now), ["default"], 1, now + TIME_TO_GO)) == 1


def test_a_started_run_that_must_not_repeat_is_not_released():
    run = claimed(on_lost=OnLost.FAIL)
    release_running("default", [run], "Its worker stopped", NOON)
    assert stored(run).state == RunState.LOST
    assert stored(run).reason.startswith("Its worker stopped; ")


def test_a_claimed_run_that_did_not_start_is_released_under_any_policy():
    run = claimed(on_lost=OnLost.FAIL)
    release("default", [run], "The connection broke.", NOON)
    assert (stored(run).state, stored(run).attempt) == (RunState.QUEUED, 0)


def test_a_failed_attempt_is_tried_again_after_a_delay():
    scheduled(max_attempts=2, retry_delay=10 * SECOND)
    tick("default", NOON + MINUTE)
    [run] = claim(worker(), ["default"], 10, NOON + MINUTE)
    finish(run, NOON + MINUTE, state=RunState.FAILED, reason="RuntimeError: no", error="trace")
    queued = Run.objects.get()
    assert queued.state == RunState.QUEUED
    assert NOON + MINUTE <= queued.ready_at <= NOON + MINUTE + 10 * SECOND
    [run] = claim(worker(), ["default"], 10, NOON + 2 * MINUTE)
    finish(run, NOON + 2 * MINUTE, state=RunState.FAILED, reason="RuntimeError: no")
    assert states() == ["failed"]


def claimed(now=NOON, **fields):
    """Return a run, as its worker has it, of a task that runs when it is asked to."""
    scheduled("0 0 1 1 *", **fields).run_now()
    [run] = claim(worker(), ["default"], 1, now)
    return run


@pytest.mark.parametrize("what", ["process", "attempt"])
def test_an_outcome_is_stored_only_for_its_owner_and_attempt(what):
    run = claimed()
    other = worker().pk if what == "process" else 2
    Run.objects.filter(pk=run.pk).update(**{what: other})
    finish(run, NOON)
    assert (stored(run).state, stored(run).finished_at) == (RunState.RUNNING, None)


def test_an_outcome_that_cannot_be_stored_does_not_stop_the_others(monkeypatch):
    first, poison, last = claimed(), claimed(), claimed()
    write_outcomes = finishing.write_outcomes

    def refuse(using, ended):
        if any(outcome.result == "poison" for _, outcome in ended):
            raise DataError("malformed JSON")
        return write_outcomes(using, ended)

    monkeypatch.setattr(finishing, "write_outcomes", refuse)
    ended = [(first, outcome(NOON)), (poison, outcome(NOON, result="poison"))]
    record("default", [*ended, (last, outcome(NOON))], NOON)
    assert [stored(run).state for run in (first, poison, last)] == [RunState.SUCCEEDED] * 3
    assert stored(poison).result is None
    assert stored(poison).reason == ("The result could not be stored in full: malformed JSON")


def test_during_a_database_outage_outcomes_are_kept_for_later(monkeypatch):
    run = claimed()

    def gone(using, ended):
        raise OperationalError("the connection is gone")

    with monkeypatch.context() as patch:
        patch.setattr(finishing, "write_outcomes", gone)
        with pytest.raises(OperationalError):
            finish(run, NOON)
    finish(run, NOON)
    assert stored(run).state == RunState.SUCCEEDED


def test_a_task_shows_that_its_target_is_broken_until_it_works_again():
    run = claimed()
    finish(run, NOON, state=RunState.FAILED, reason="it is gone", target_is_broken=True)
    assert Task.objects.get().target_error == "it is gone"
    Task.objects.get().run_now()
    [again] = claim(worker(), ["default"], 1, NOON)
    finish(again, NOON)
    assert Task.objects.get().target_error == ""


def test_a_zombies_outcome_does_not_change_the_targets_state():
    run = claimed()
    Run.objects.filter(pk=run.pk).update(attempt=2)
    finish(run, NOON, state=RunState.FAILED, reason="it is gone", target_is_broken=True)
    assert Task.objects.get().target_error == ""


def test_a_lost_run_does_not_count_as_a_failed_attempt():
    run = claimed(max_attempts=2)
    run.attempt, run.times_lost = 3, 2
    Run.objects.filter(pk=run.pk).update(attempt=3, times_lost=2)
    finish(run, NOON, state=RunState.FAILED)
    assert stored(run).state == RunState.QUEUED


@pytest.mark.parametrize(
    ("attempt", "longest"), [(1, 10 * SECOND), (2, 30 * SECOND), (3, MINUTE), (400, MINUTE)]
)
def test_a_retry_waits_for_a_random_part_of_a_delay_that_grows_to_a_bound(attempt, longest):
    run = claimed(retry_delay=10 * SECOND, retry_backoff=3, retry_max_delay=MINUTE)
    run.attempt = attempt
    delays = {retry_delay(run) for _ in range(50)}
    assert len(delays) > 40
    assert min(delays) < longest / 4
    assert longest * 3 / 4 < max(delays) <= longest


@pytest.mark.parametrize(
    "fields",
    [
        {"retry_delay": timedelta(days=10**7), "retry_max_delay": timedelta(days=10**7)},
        {"retry_delay": timedelta(days=-(10**7))},
        {"retry_max_delay": timedelta(days=-(10**7))},
        {"retry_backoff": -3.5},
    ],
)
def test_a_retry_has_a_delay_whatever_update_has_stored(fields):
    task = scheduled("0 0 1 1 *", max_attempts=5)
    Task.objects.update(**fields)
    task.run_now()
    [run] = claim(worker(), ["default"], 1, NOON)
    finish(run, NOON, RunState.FAILED)
    assert (stored(run).state, stored(run).ready_at >= NOON) == (RunState.QUEUED, True)


def test_the_largest_backoff_of_the_thousandth_attempt_is_a_delay():
    run = claimed(retry_backoff=100, retry_max_delay=MINUTE)
    run.attempt = 1000
    assert retry_delay(run) <= MINUTE


@pytest.mark.parametrize("limit", [0, 2])
def test_a_run_that_kills_its_workers_is_given_up_after_a_limit(settings, limit):
    settings.SISY_LOST_LIMIT = limit
    scheduled("0 0 1 1 *").run_now()
    now = NOON
    for _ in range(limit + 1):
        [run] = claim(worker(now, LEASE), ["default"], 1, now)
        now += LEASE + SECOND
        tick("default", now)
    assert (stored(run).state, stored(run).times_lost) == (RunState.LOST, limit + 1)
    assert claim(worker(), ["default"], 1, now) == []


def test_a_deleted_task_gets_no_run_back():
    run = claimed()
    Task.objects.all().delete()
    release_running("default", [run], "Its worker stopped", NOON)
    assert (stored(run).state, stored(run).reason) == (
        RunState.CANCELLED,
        "The task was deleted.",
    )


def test_a_deleted_task_has_no_further_attempt():
    run = claimed(max_attempts=5)
    Task.objects.all().delete()
    finish(run, NOON, state=RunState.FAILED, reason="RuntimeError: no")
    assert (stored(run).state, stored(run).reason) == (RunState.FAILED, "RuntimeError: no")
