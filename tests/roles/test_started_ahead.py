"""What users do to a run that a worker has started ahead of its moment, and has not called yet."""

import threading
from datetime import timedelta

import pytest
from django.db import OperationalError

from sisy.heartbeat.clock_rollback import repair
from sisy.lifecycle.lose import lose
from sisy.lifecycle.release import release
from sisy.models import Overlap, Process, Queue, Run, RunState, Task
from sisy.runtime import checkpoint
from sisy.worker import claim_session, outlook
from sisy.worker.claim import claim
from sisy.worker.early_claim import claim_early
from sisy.worker.low_water import LowWaterMarks
from tests.app import jobs
from tests.app.models import Execution
from tests.roles.at_work import at_work
from tests.roles.steps import finish
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored, worker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

DUE = NOON + MINUTE
EARLY = DUE - timedelta(milliseconds=50)
UNTIL = EARLY + timedelta(milliseconds=100)
QUEUES = ["default"]
EXCLUSIVE = [policy for policy in Overlap if policy != Overlap.ALLOW]


@pytest.fixture
def now(now):
    """Let it be shortly before the moment of runs, and stay so."""
    now.moment = EARLY
    return now


@pytest.fixture
def passed(monkeypatch):
    """A function that calls another one, once, when a checkpoint is passed."""
    monkeypatch.setattr(checkpoint, "_watchers", [])

    def when(name, then):
        waiting = [then]

        def watch(passed):
            if passed == name and waiting:
                waiting.pop()()

        checkpoint.watch(watch)

    return when


def planned(fn=jobs.record, **fields):
    """Return a run that a heartbeat has planned ahead."""
    task = scheduled("0 0 1 1 *", fn=fn, **fields)
    run = task.new_run(now=EARLY, due_at=DUE, ready_at=DUE)
    run.save()
    return run


def started_ahead(fn=jobs.record, **fields):
    """Return a run that the worker at work has started, and will call when it is due."""
    run = planned(fn, **fields)
    wait_until(Run.objects.filter(pk=run.pk, state=RunState.RUNNING).exists, "it has started")
    assert stored(run).started_at == DUE
    return run


def calls():
    """Return how often each run was called, by its key."""
    runs = list(Execution.objects.values_list("run", flat=True))
    return {run: runs.count(run) for run in runs}


def ends(run, state):
    wait_until(Run.objects.filter(pk=run.pk, state=state).exists, f"it is {state}")
    return stored(run)


def early(holder, limit=10):
    return claim_early(holder, QUEUES, limit, EARLY, UNTIL, frozenset(), LowWaterMarks("default"))


def test_a_run_is_called_at_its_moment_and_not_before(now):
    with at_work():
        run = started_ahead()
        now.moment = DUE - timedelta(microseconds=1)
        other = Run.objects.get(task=Task.run_once(jobs.record))
        ends(other, RunState.SUCCEEDED)  # so the worker has taken notice of the time
        assert calls() == {other.pk: 1}
        now.moment = DUE
        end = ends(run, RunState.SUCCEEDED)
    assert (end.attempt, end.started_at) == (1, DUE)
    assert calls() == {other.pk: 1, run.pk: 1}


def test_a_run_that_a_user_cancels_before_its_moment_is_not_called(now):
    with at_work():
        run = started_ahead()
        assert run.cancel("the disk is full")
        end = ends(run, RunState.CANCELLED)
        assert (end.reason, end.attempt, end.started_at) == ("the disk is full", 0, None)
        now.moment = DUE
        other = Run.objects.get(task=Task.run_once(jobs.record))
        ends(other, RunState.SUCCEEDED)
    assert calls() == {other.pk: 1}


@pytest.mark.parametrize("how", ["cancel_runs", "cancel by force"])
def test_a_task_cancels_its_run_that_has_started_ahead(now, how):
    with at_work():
        run = started_ahead()
        if how == "cancel_runs":
            assert run.task.cancel_runs("a new version") == 1
        else:
            assert run.cancel("a new version", by_force=True)
        assert ends(run, RunState.CANCELLED).reason == "a new version"
    assert calls() == {}


def test_a_draining_worker_releases_what_it_has_not_called(now):
    with at_work(grace=60):
        run = started_ahead()
        assert Process.objects.get().request_drain(now.moment)
        wait_until(lambda: not Process.objects.exists(), "the worker has stopped")
    end = stored(run)
    assert (end.state, end.attempt, end.process_id) == (RunState.QUEUED, 0, None)
    assert (end.ready_at, end.started_at) == (DUE, None)
    assert calls() == {}
    now.moment = DUE
    with at_work():
        assert ends(run, RunState.SUCCEEDED).attempt == 1
    assert calls() == {run.pk: 1}


def test_a_worker_that_stops_waits_for_no_run_that_it_will_not_call(now, passed):
    """Cancelled, and not released yet: it would never end, and the grace period would pass."""
    run, stopped = planned(), []
    with at_work(grace=600) as worker:

        def cancel_and_stop():
            [mine] = worker._cancellation._in_flight
            worker._pool.cancel(mine, "enough", by_force=False)
            worker.stop()
            stopped.append(mine)

        passed("start ahead: not called yet", cancel_and_stop)
        wait_until(lambda: stopped, "it was asked to stop")
        wait_until(lambda: not Process.objects.exists(), "the worker has stopped")
    end = stored(run)
    assert (end.state, end.attempt, end.ready_at) == (RunState.QUEUED, 0, DUE)


def test_a_queue_that_is_paused_after_the_start_does_not_stop_the_call(now):
    with at_work():
        run = started_ahead()
        assert Queue.objects.pause("default")
        now.moment = DUE
        ends(run, RunState.SUCCEEDED)
    assert calls() == {run.pk: 1}


def test_a_run_of_a_paused_queue_is_not_started_ahead(now):
    run = planned()
    Queue.objects.pause("default")
    assert early(worker(EARLY)) == []
    assert stored(run).state == RunState.QUEUED


@pytest.mark.parametrize("end", ["pause", "delete", "save"])
def test_a_run_that_has_started_stays_when_its_task_is_changed(now, end):
    with at_work():
        run = started_ahead()
        task = Task.objects.get(pk=run.task_id)
        if end == "save":
            task.schedule = "0 0 2 2 *"
        getattr(task, end)()
        assert stored(run).state == RunState.RUNNING
        now.moment = DUE
        ends(run, RunState.SUCCEEDED)
    assert calls() == {run.pk: 1}


def test_run_now_starts_at_once_next_to_a_run_that_may_overlap(now):
    with at_work():
        run = started_ahead(overlap=Overlap.ALLOW)
        manual = Task.objects.get(pk=run.task_id).run_now()
        assert ends(manual, RunState.SUCCEEDED).started_at == EARLY
        assert calls() == {manual.pk: 1}
        now.moment = DUE
        ends(run, RunState.SUCCEEDED)
    assert calls() == {manual.pk: 1, run.pk: 1}


@pytest.mark.parametrize("policy", EXCLUSIVE)
def test_run_now_waits_for_a_run_that_has_started_ahead(now, policy):
    """Neither is skipped or replaced, whatever the policy: they have only come together."""
    with at_work():
        run = started_ahead(overlap=policy)
        manual = Task.objects.get(pk=run.task_id).run_now()
        other = Run.objects.get(task=Task.run_once(jobs.record))
        ends(other, RunState.SUCCEEDED)  # so the worker has decided about both
        assert (stored(manual).state, calls()) == (RunState.QUEUED, {other.pk: 1})
        now.moment = DUE
        ends(run, RunState.SUCCEEDED)
        ends(manual, RunState.SUCCEEDED)
    assert calls() == {other.pk: 1, run.pk: 1, manual.pk: 1}


@pytest.mark.parametrize("policy", Overlap)
def test_only_what_may_overlap_starts_ahead_beside_a_running_run(now, policy):
    holder = worker(EARLY)
    run = planned(overlap=policy)
    run.task.run_now()
    [manual] = claim(holder, QUEUES, 10, EARLY)
    assert [one.pk for one in early(holder)] == ([run.pk] if policy == Overlap.ALLOW else [])
    finish(manual, EARLY)
    assert stored(manual).state == RunState.SUCCEEDED


@pytest.mark.parametrize(
    ("policy", "state", "is_asked"),
    [
        (Overlap.SKIP, RunState.SKIPPED, False),
        (Overlap.BUFFER_ONE, RunState.QUEUED, False),
        (Overlap.BUFFER_ALL, RunState.QUEUED, False),
        (Overlap.CANCEL_OTHER, RunState.QUEUED, True),
        (Overlap.TERMINATE_OTHER, RunState.QUEUED, True),
        (Overlap.ALLOW, RunState.RUNNING, False),
    ],
)
def test_the_policy_decides_at_the_moment_and_not_before(now, policy, state, is_asked):
    holder = worker(EARLY)
    task = scheduled("0 0 1 1 *", overlap=policy)
    task.new_run(now=DUE - MINUTE, due_at=DUE - MINUTE, ready_at=DUE - MINUTE).save()
    [before] = claim(holder, QUEUES, 10, DUE - MINUTE)
    run = task.new_run(now=EARLY, due_at=DUE, ready_at=DUE)
    run.save()
    early(holder)
    waits = policy != Overlap.ALLOW
    assert stored(run).state == (RunState.QUEUED if waits else RunState.RUNNING)
    assert stored(before).cancel_requested_at is None
    claim(holder, QUEUES, 10, DUE)
    assert stored(run).state == state
    assert (stored(before).cancel_requested_at is not None) == is_asked


@pytest.mark.parametrize("policy", EXCLUSIVE)
def test_of_two_runs_of_a_task_one_starts_ahead(now, policy):
    holder = worker(EARLY)
    first = planned(overlap=policy)
    second = first.task.new_run(now=EARLY, ready_at=DUE + timedelta(milliseconds=10))
    second.save()
    assert [run.pk for run in early(holder)] == [first.pk]
    assert claim(worker(EARLY), QUEUES, 10, DUE + SECOND / 10) == []


def test_two_workers_start_a_run_ahead_once(now):
    first, second = worker(EARLY), worker(EARLY)
    run = planned()
    assert [one.pk for one in early(first)] == [run.pk]
    assert early(second) == claim(second, QUEUES, 10, DUE) == []


@pytest.mark.parametrize("slow_by", [timedelta(0), SECOND / 20, SECOND / 4], ids=str)
@pytest.mark.parametrize("end", ["released", "lost"])
def test_a_process_whose_reading_is_behind_keeps_the_moment(now, end, slow_by):
    """Each process has its own reading of the clock, off by up to half of its round trip."""
    run = planned()
    just_in_time = DUE - timedelta(milliseconds=100)
    holder = worker(EARLY)
    [claimed] = claim_early(
        holder, QUEUES, 1, just_in_time, DUE, frozenset(), LowWaterMarks("default")
    )
    if end == "released":
        release("default", [claimed], "It was not called.", just_in_time - slow_by)
    else:
        [lost], _ = lose(Run.objects.filter(pk=run.pk), "It died", just_in_time - slow_by)
        assert lost.ready_at == DUE
    assert (stored(run).state, stored(run).ready_at) == (RunState.QUEUED, DUE)
    assert claim(worker(EARLY), QUEUES, 1, DUE - timedelta(microseconds=1)) == []


@pytest.mark.parametrize("by", [SECOND / 2, HOUR], ids=str)
def test_a_clock_that_is_set_forwards_neither_loses_nor_repeats_the_call(now, by):
    with at_work():
        run = started_ahead()
        now.moment += by
        assert ends(run, RunState.SUCCEEDED).attempt == 1
        assert calls() == {run.pk: 1}


@pytest.mark.parametrize("by", [SECOND / 2, HOUR], ids=str)
def test_a_clock_that_is_set_back_neither_loses_nor_repeats_the_call(now, by):
    with at_work():
        run = started_ahead()
        now.moment -= by
        other = Run.objects.get(task=Task.run_once(jobs.record))
        ends(other, RunState.SUCCEEDED)
        if by == HOUR:  # else the run would block its task until then
            assert ends(run, RunState.QUEUED).ready_at == DUE
        assert calls() == {other.pk: 1}
        now.moment = DUE
        assert ends(run, RunState.SUCCEEDED).attempt == 1
    assert calls() == {other.pk: 1, run.pk: 1}


def test_a_database_that_stalls_right_after_the_start_does_not_delay_the_call(now, monkeypatch):
    """Whatever the worker asks next, its answer may take long."""
    is_over = threading.Event()
    look = outlook.ready_moments

    def stall(*args):
        if Run.objects.running().exists():
            assert is_over.wait(30)
        return look(*args)

    monkeypatch.setattr(outlook, "ready_moments", stall)
    with at_work():
        run = planned()
        wait_until(Run.objects.filter(pk=run.pk, state=RunState.RUNNING).exists)
        now.moment = DUE
        try:
            wait_until(lambda: calls() == {run.pk: 1}, "it is called", patience=20)
        finally:
            is_over.set()
        ends(run, RunState.SUCCEEDED)


def test_a_connection_that_breaks_right_after_the_start_does_not_lose_the_call(now, monkeypatch):
    look, broken = outlook.ready_moments, []

    def breaks(*args):
        if Run.objects.running().exists() and not broken:
            broken.append(True)
            raise OperationalError("the connection is gone")
        return look(*args)

    monkeypatch.setattr(outlook, "ready_moments", breaks)
    with at_work():
        run = planned()
        wait_until(lambda: broken)
        now.moment = DUE
        assert ends(run, RunState.SUCCEEDED).attempt == 1
    assert calls() == {run.pk: 1}


def test_a_worker_that_is_busy_at_the_moment_calls_the_run_once_and_says_when(now, passed):
    """Its event loop is blocked, as on an overloaded host."""
    called_at = DUE + 2 * SECOND

    def block():
        now.moment = called_at

    run = planned()
    passed("start ahead: not called yet", block)
    with at_work():
        end = ends(run, RunState.SUCCEEDED)
    assert (end.attempt, end.times_lost, end.started_at) == (1, 0, called_at)
    assert calls() == {run.pk: 1}


def test_an_outage_when_a_worker_stops_does_not_cut_off_its_running_runs(now, monkeypatch):
    release, failed = claim_session.release, []

    def fails_at_first(*args):
        if not failed:
            failed.append(True)
            raise OperationalError("the connection is gone")
        return release(*args)

    monkeypatch.setattr(claim_session, "release", fails_at_first)
    with at_work(grace=600) as worker:
        going = Run.objects.get(task=Task.run_once(jobs.sleeps, userdata={"seconds": 2}))
        wait_until(Execution.objects.filter(run=going.pk).exists)
        run = started_ahead()
        worker.stop()
        wait_until(lambda: not Process.objects.exists(), "the worker has stopped")
    assert failed
    assert (stored(going).state, stored(going).attempt) == (RunState.SUCCEEDED, 1)
    end = stored(run)
    assert (end.state, end.attempt, end.ready_at) == (RunState.QUEUED, 0, DUE)


def test_a_repair_after_the_clock_was_set_back_keeps_the_moment_of_a_lost_run(now):
    task = Task.run_once(jobs.record, delay_until=DUE, retry_max_delay=timedelta(0))
    [run] = early(worker(EARLY))
    [lost], _ = lose(Run.objects.filter(pk=run.pk), "It died", EARLY)
    repair("default", EARLY)
    assert stored(lost).ready_at == DUE
    assert Run.objects.get(task=task).attempt == 1
