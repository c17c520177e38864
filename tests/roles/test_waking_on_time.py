"""A worker wakes when a run becomes ready, without a ring and without a poll."""

from datetime import timedelta

import pytest

from sisy import clock
from sisy.messaging import doorbell
from sisy.models import Process, Run, RunState, Task
from sisy.store.levels import Level, ready_moments
from sisy.worker import Worker
from tests.app import jobs
from tests.roles.at_work import at_work
from tests.support.clocks import clock_at
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

LONG = 60  # seconds, far longer than a test waits


@pytest.fixture
def without_polls(settings, monkeypatch):
    """Let no worker poll, and no ring reach one."""
    settings.SISY_POLL_INTERVAL = LONG
    settings.CHANNEL_LAYERS = {}
    monkeypatch.setattr(doorbell, "ring", lambda runs, within=0.0: None)


def test_a_worker_wakes_for_a_run_that_was_queued_before_it_started(without_polls):
    soon = clock.now("default") + timedelta(seconds=1)
    task = Task.run_once(jobs.noop, delay_until=soon)
    with at_work():
        wait_until(Run.objects.filter(task=task.pk, state=RunState.SUCCEEDED).exists)
    run = Run.objects.get(task=task.pk)
    assert run.started_at >= soon


def test_a_worker_wakes_for_each_of_several_runs(without_polls):
    now = clock.now("default")
    moments = [now + timedelta(seconds=0.5 + 0.4 * n) for n in range(3)]
    for moment in moments:
        Task.run_once(jobs.noop, delay_until=moment)
    with at_work():
        wait_until(lambda: Run.objects.filter(state=RunState.SUCCEEDED).count() == 3)
    started = Run.objects.order_by("ready_at").values_list("started_at", flat=True)
    assert all(at >= moment for at, moment in zip(started, moments, strict=True))


def test_the_next_moment_is_found_behind_runs_that_may_not_start():
    levels = [Level("default")]
    with clock_at(NOON):
        Task.run_once(jobs.noop)
        Task.run_once(jobs.noop, delay_until=NOON + MINUTE)
    assert ready_moments("default", levels, NOON + SECOND) == (True, NOON + MINUTE)


async def test_a_step_waits_until_the_next_run_becomes_ready(settings):
    settings.SISY_POLL_INTERVAL = LONG
    worker = Worker()
    outlook = worker._claiming._session.outlook
    with clock_at(NOON):
        assert worker._claiming._seconds_to_next_step(1) > 1
        outlook.next_ready = NOON + SECOND / 4
        # A claim takes a while, at first perhaps 100 ms.
        assert worker._claiming._seconds_to_next_step(1) == pytest.approx(0.15)
        # Without a free slot, it would wake for nothing.
        assert worker._claiming._seconds_to_next_step(0) > 1
        # A run that is ready and stays queued may not start, for example if it is blocked.
        outlook.next_ready = NOON - SECOND
        assert worker._claiming._seconds_to_next_step(1) == 0
        outlook.note_claim(NOON)
        assert worker._claiming._seconds_to_next_step(1) > 1


def test_a_ring_for_a_ready_run_and_a_later_one_wakes_the_worker_for_both(without_polls):
    with at_work() as worker:
        wait_until(Process.objects.exists)
        soon = clock.now("default") + 2 * SECOND
        Task.run_once(jobs.noop)
        Task.run_once(jobs.noop, delay_until=soon)
        worker.wake()
        wait_until(lambda: Run.objects.filter(state=RunState.SUCCEEDED).count() == 2)


def test_runs_claimed_early_that_find_no_slot_are_given_to_others(without_polls):
    for _ in range(40):
        Task.run_once(jobs.noop)
    with at_work(concurrency=2) as worker:
        # It expects short runs, and claims more than it has slots.
        wait_until(lambda: Run.objects.filter(state=RunState.SUCCEEDED).count() == 40)
        soon = clock.now("default") + SECOND
        for _ in range(8):
            Task.run_once(jobs.sleeps, userdata={"seconds": 3}, delay_until=soon)
        worker.wake()
        wait_until(lambda: Run.objects.running().filter(attempt=1).count() >= 2)
        # The others are queued again, although the functions take three seconds.
        wait_until(lambda: Run.objects.queued().count() == 6)
