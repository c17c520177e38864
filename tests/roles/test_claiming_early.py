"""Runs that a worker claims shortly before their moment."""

from datetime import timedelta

import pytest

from sisy.heartbeat.plan_ahead import plan_ahead
from sisy.lifecycle.lose import lose
from sisy.lifecycle.release import release
from sisy.models import Run, RunState, Task
from sisy.models.queue import Queue
from sisy.worker.claim import claim
from sisy.worker.early_claim import FEWEST_CLAIMS, Lead, claim_early
from sisy.worker.low_water import LowWaterMarks
from tests.app import jobs
from tests.roles.steps import states
from tests.support.clocks import clock_at
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

DUE = NOON + MINUTE
SOON = timedelta(milliseconds=50)
NOW = DUE - SOON  # when the claims of these tests are made


def planned(**fields):
    """Return a task of which a run was planned ahead."""
    task = scheduled(**fields)
    plan_ahead("default", DUE - SECOND)
    return task


def claimed_early(holder, limit=10, now=NOW, until=DUE, missing=frozenset()):
    marks = LowWaterMarks("default")
    marks.renew(["default"], now)
    return claim_early(
        holder, ["default"], limit, now=now, until=until, missing=missing, marks=marks
    )


def test_a_run_is_running_from_the_claim_on_and_starts_at_its_moment():
    planned()
    holder = worker()
    [run] = claimed_early(holder)
    row = stored(run)
    assert (row.state, row.attempt, row.process) == (RunState.RUNNING, 1, holder)
    assert row.started_at == run.started_at == DUE
    assert row.lateness == timedelta(0)
    assert claim(worker(), ["default"], 10, DUE) == []


def test_it_is_not_claimed_before_the_lead():
    planned()
    assert claimed_early(worker(), until=DUE - timedelta(microseconds=1)) == []
    assert states() == ["queued"]


def test_no_more_runs_are_claimed_than_there_are_slots():
    for n in range(3):
        planned(label=str(n))
    assert len(claimed_early(worker(), limit=2)) == 2
    assert len(claimed_early(worker(), limit=2)) == 1


@pytest.mark.parametrize("overlap", ["skip", "buffer_one", "buffer_all", "cancel_other"])
def test_a_run_whose_task_is_running_waits_for_its_moment(overlap):
    task = planned(overlap=overlap)
    with clock_at(NOW):
        task.run_now()
    [manual] = claim(worker(), ["default"], 10, NOW)
    assert claimed_early(worker()) == []
    assert stored(manual).state == RunState.RUNNING
    assert states() == ["queued", "running"]


def test_a_run_of_a_task_with_another_queued_run_waits_for_its_moment():
    task = planned(overlap="skip")
    with clock_at(NOW):
        task.run_now()
    assert claimed_early(worker()) == []


def test_a_run_that_may_overlap_starts_beside_others():
    task = planned(overlap="allow")
    with clock_at(NOW):
        task.run_now()
    claim(worker(), ["default"], 10, NOW)
    assert len(claimed_early(worker())) == 1


def test_of_two_runs_of_a_task_one_starts():
    task = planned(overlap="skip")
    with clock_at(NOW):
        task.new_run(now=NOW, ready_at=DUE).save()
    assert len(claimed_early(worker())) == 1
    assert len(claimed_early(worker())) == 0


def test_a_paused_queue_starts_nothing():
    planned()
    Queue.objects.create(name="default", paused_at=NOON)
    assert claimed_early(worker()) == []


def test_a_function_that_the_worker_cannot_find_is_left_to_others():
    task = planned()
    assert claimed_early(worker(), missing=frozenset([task.target_path])) == []


def test_a_run_that_was_asked_to_stop_or_was_tried_before_is_not_started():
    for label in ("asked", "tried", "released"):
        planned(label=label)
    Run.objects.filter(label="asked").update(cancel_requested_at=NOW)
    Run.objects.filter(label="tried").update(attempt=1, times_lost=1)
    Run.objects.filter(label="released").update(started_at=NOW)
    assert claimed_early(worker()) == []


def test_a_one_shot_with_a_delay_is_started_ahead():
    with clock_at(NOON):
        Task.run_once(jobs.noop, delay_until=DUE)
    [run] = claimed_early(worker())
    assert run.started_at == DUE


def test_a_released_run_keeps_its_moment_and_its_attempt():
    planned()
    [run] = claimed_early(worker())
    release("default", [run], "Its worker stopped.", NOW)
    row = stored(run)
    assert (row.state, row.attempt, row.ready_at, row.started_at) == ("queued", 0, DUE, None)
    assert len(claimed_early(worker())) == 1


def test_an_edit_withdraws_a_run_that_was_released_before_its_moment():
    task = planned()
    [run] = claimed_early(worker())
    release("default", [run], "Its worker stopped.", NOW)
    with clock_at(NOW):
        task.pause()
    assert not Run.objects.exists()


def test_an_edit_leaves_a_run_that_has_started():
    task = planned()
    [run] = claimed_early(worker())
    with clock_at(NOW):
        task.pause()
    assert stored(run).state == RunState.RUNNING


def test_a_run_that_is_lost_before_its_moment_keeps_it():
    planned()
    [run] = claimed_early(worker())
    [again], [] = lose(Run.objects.filter(pk=run.pk), "Its worker died", NOW)
    row = stored(run)
    assert (row.state, row.ready_at, again.ready_at) == ("queued", DUE, DUE)
    [attempt] = row.attempts.all()
    assert attempt.started_at == attempt.finished_at == NOW


def test_a_run_that_is_lost_for_good_before_its_moment_has_no_negative_duration():
    planned(on_lost="fail")
    [run] = claimed_early(worker())
    lose(Run.objects.filter(pk=run.pk), "Its worker died", NOW)
    row = stored(run)
    assert (row.state, row.duration) == (RunState.LOST, timedelta(0))


@pytest.mark.parametrize("step", [timedelta(milliseconds=200), 4 * SECOND, HOUR])
@pytest.mark.parametrize("ends", ["lost", "released"])
def test_it_keeps_its_moment_even_if_the_clock_was_set_back(step, ends):
    planned()
    [run] = claimed_early(worker())
    if ends == "lost":
        [again], [] = lose(Run.objects.filter(pk=run.pk), "Its worker died", NOW - step)
        assert again.ready_at == DUE
    else:
        release("default", [run], "Its worker stopped.", NOW - step)
    assert stored(run).ready_at == DUE


@pytest.mark.parametrize("ends", ["lost", "released"])
def test_a_run_that_was_ready_before_the_clock_was_set_back_is_ready_at_once(ends):
    planned()
    [run] = claim(worker(), ["default"], 10, DUE + SECOND)
    if ends == "lost":
        [again], [] = lose(Run.objects.filter(pk=run.pk), "Its worker died", NOON)
        assert again.ready_at == NOON
    else:
        release("default", [run], "Its worker stopped.", NOON)
    assert stored(run).ready_at == NOON


def test_the_largest_priority_of_all_queues_starts_first():
    planned(queue="a", label="low")
    planned(queue="b", label="high", priority=10)
    marks = LowWaterMarks("default")
    marks.renew(["a", "b"], NOW)
    [run] = claim_early(
        worker(), ["a", "b"], 1, now=NOW, until=DUE, missing=frozenset(), marks=marks
    )
    assert run.label == "high"


def test_runs_that_must_wait_do_not_take_the_place_of_others():
    tasks = [planned(label=str(n), overlap="skip") for n in range(3)]
    for task in tasks[:2]:
        with clock_at(NOW):
            task.run_now()
    claim(worker(), ["default"], 10, NOW)
    [run] = claimed_early(worker(), limit=1)
    assert run.task == tasks[2]


def test_the_lead_is_twice_a_slow_claim_within_its_bounds():
    lead = Lead()
    assert lead.length == timedelta(milliseconds=100)
    for _ in range(FEWEST_CLAIMS):
        lead.note(0.001)
    assert lead.length == timedelta(milliseconds=10)
    for _ in range(200):
        lead.note(0.02)
    assert lead.length == timedelta(milliseconds=40)
    for _ in range(200):
        lead.note(3)
    assert lead.length == timedelta(milliseconds=100)
