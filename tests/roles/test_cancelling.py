"""Runs that somebody cancels while they are queued, and asks to end while they run."""

from datetime import timedelta

import pytest

from sisy.heartbeat import tick
from sisy.lifecycle.release import TIME_TO_GO, release_running
from sisy.models import Attempt, Process, Run, RunState, Task
from sisy.worker.claim import claim
from sisy.worker.record import record
from tests.app import jobs
from tests.app.models import Execution
from tests.roles.at_work import at_work
from tests.roles.steps import finish, outcome
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored, worker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def begun(fn, **userdata):
    """Return a run that a worker has just begun."""
    run = Run.objects.get(task=Task.run_once(fn, userdata=userdata))
    wait_until(Execution.objects.filter(run=run.pk).exists)
    return run


def ended(run):
    wait_until(lambda: not Run.objects.live().filter(pk=run.pk).exists())
    return stored(run)


@pytest.mark.parametrize("fn", [jobs.goes_on_until_asked, jobs.asleeps])
def test_a_running_run_ends_when_asked(fn):
    with at_work():
        run = begun(fn, seconds=600)
        assert run.cancel("the disk is full")
        end = ended(run)
    assert (end.state, end.reason) == (RunState.CANCELLED, "the disk is full")
    assert not end.cancel("again")
    assert not Task.objects.exists()


def test_the_function_decides_the_outcome_of_a_cancel_request():
    with at_work():
        run = begun(jobs.goes_on_whatever_is_asked)
        run.cancel()
        end = ended(run)
        assert (end.state, end.result) == (RunState.SUCCEEDED, "done all the same")
        failing = begun(jobs.fails_when_asked)
        failing.cancel()
        end = ended(failing)
        assert (end.state, end.reason) == (RunState.FAILED, "RuntimeError: half done")


def test_a_task_cancels_queued_runs_and_asks_running_ones_to_end():
    # Buffered, so that the second run waits however soon the worker looks at it.
    task = scheduled("0 0 1 1 *", fn=jobs.goes_on_until_asked, overlap="buffer_all")
    with at_work():
        going = task.run_now()
        wait_until(Execution.objects.filter(run=going.pk).exists)
        queued = task.run_now()
        assert task.cancel_runs("a new version is on its way") == 2
        assert ended(going).state == stored(queued).state == RunState.CANCELLED


def failing(now=NOON, **fields):
    """Return a run that has begun and has attempts left."""
    scheduled(max_attempts=5, **fields)
    tick("default", now + MINUTE)
    [run] = claim(worker(now), ["default"], 1, now + MINUTE)
    return run


def test_a_run_that_was_asked_to_end_and_fails_is_not_tried_again(noon):
    run = failing()
    run.cancel()
    finish(run, NOON, RunState.FAILED, reason="RuntimeError: half done")
    assert (stored(run).state, stored(run).reason) == (RunState.FAILED, "RuntimeError: half done")


def test_a_run_that_was_asked_to_end_is_not_handed_to_another_worker(noon):
    run = failing()
    run.cancel("the disk is full")
    assert release_running("default", [run], "Its worker stopped", NOON) == 0
    Process.objects.get().leave(now=NOON)
    later = NOON + TIME_TO_GO
    assert claim(worker(later), ["default"], 1, later) == []
    assert (stored(run).state, stored(run).attempt) == (RunState.RUNNING, 1)


def test_a_run_that_was_asked_to_end_is_cancelled_without_any_worker(noon):
    run = failing()
    run.cancel("the disk is full")
    release_running("default", [run], "Its worker stopped", NOON)
    Process.objects.get().leave(now=NOON)
    tick("default", NOON + TIME_TO_GO - SECOND)
    assert stored(run).state == RunState.RUNNING  # its thread may not have ended yet
    later = NOON + TIME_TO_GO + SECOND
    tick("default", later)
    assert (stored(run).state, stored(run).reason) == (RunState.CANCELLED, "the disk is full")
    assert (stored(run).finished_at, stored(run).attempt) == (later, 1)


def test_a_run_that_was_asked_to_end_is_cancelled_even_if_it_may_run_only_once(noon):
    run = failing(on_lost="fail")
    run.cancel("the disk is full")
    release_running("default", [run], "Its worker stopped", NOON)
    Process.objects.get().leave(now=NOON)
    tick("default", NOON + 2 * TIME_TO_GO)
    assert (stored(run).state, stored(run).times_lost) == (RunState.CANCELLED, 0)


def test_a_run_that_was_asked_to_end_is_not_rescued_from_a_dead_worker(noon):
    scheduled()
    tick("default", NOON + MINUTE)
    holder = worker(NOON + MINUTE, lease=timedelta(seconds=30))
    [run] = claim(holder, ["default"], 1, NOON + MINUTE)
    run.cancel("the disk is full")
    tick("default", NOON + 2 * MINUTE)
    assert stored(run).state == RunState.CANCELLED


def test_force_may_follow_a_plain_request(noon):
    run = failing()
    assert run.cancel("please")
    assert run.cancel("now", by_force=True)
    assert (stored(run).cancel_force, stored(run).cancel_reason) == (True, "now")
    assert not run.cancel("please, once more")
    assert stored(run).cancel_reason == "now"


def test_each_attempt_keeps_its_error(noon):
    run = failing(retry_delay=timedelta(0))
    for number in (1, 2):
        finish(run, NOON, RunState.FAILED, reason=f"attempt {number}", error=f"trace {number}")
        [run] = claim(worker(), ["default"], 1, NOON + MINUTE)
    finish(run, NOON)
    kept = Attempt.objects.filter(run=run.pk).values_list("number", "state", "reason", "error")
    assert list(kept) == [
        (1, "failed", "attempt 1", "trace 1"),
        (2, "failed", "attempt 2", "trace 2"),
    ]
    assert (stored(run).state, stored(run).error, stored(run).attempt) == ("succeeded", "", 3)


def test_a_run_whose_child_died_is_queued_again_without_using_an_attempt(noon):
    run = failing()
    lost = outcome(NOON, RunState.LOST, reason="Its process was killed by SIGKILL")
    record("default", [(run, lost)], NOON)
    again = stored(run)
    assert (again.state, again.times_lost) == (RunState.QUEUED, 1)
    assert again.reason.startswith("Its process was killed by SIGKILL")
    assert Attempt.objects.get().state == RunState.LOST


def test_a_run_that_cannot_be_stored_in_full_keeps_the_attempts_that_are_left(noon):
    run = failing()
    finish(run, NOON, RunState.FAILED, reason="x", error="half of \udcff a pair")
    assert stored(run).state == RunState.QUEUED
    assert Attempt.objects.get().reason.startswith("The result could not be stored in full")


def test_a_worker_stops_runs_taken_over_while_it_was_silent():
    """A zombie: what it goes on with is carried out by somebody else, too."""
    with at_work():
        jobs.ended_by.clear()
        run = begun(jobs.goes_on_until_asked)
        elsewhere = worker(NOON)
        Run.objects.filter(pk=run.pk).update(process=elsewhere, attempt=2)
        wait_until(lambda: jobs.ended_by)
    [reason] = jobs.ended_by
    assert "lease had expired" in reason
    assert (stored(run).state, stored(run).attempt) == (RunState.RUNNING, 2)
