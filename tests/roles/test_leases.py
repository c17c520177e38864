"""What a worker takes that lost its lease, did not hear that it won, or found a run blocked."""

import asyncio
import threading
from datetime import timedelta

import pytest
from django.db import OperationalError

from sisy import clock
from sisy.exceptions import LeaseLost
from sisy.messaging import channel_layer
from sisy.models import Process, Role, Run, RunState, Task, task_with_callable
from sisy.worker import Worker, claim_loop, claim_session
from sisy.worker.claim import claim
from tests.app import jobs
from tests.roles.at_work import at_work
from tests.support.waiting import WAIT_TIMEOUT, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def queued_run():
    return Run.objects.get(task=Task.run_once(jobs.noop))


def test_a_worker_without_a_lease_claims_no_run():
    """Nobody would ever rescue it: its process is no longer on the books."""
    run, now = queued_run(), clock.now("default")
    gone = Process.join(Role.WORKER, using="default", now=now, lease=timedelta(seconds=30))
    gone.leave()
    with pytest.raises(LeaseLost):
        claim(gone, ["default"], 1, now)
    run.refresh_from_db()
    assert run.state == RunState.QUEUED


def test_a_worker_with_an_expired_lease_claims_nothing_until_renewal():
    """A heartbeat would take the run from it at once, while it is carried out."""
    run, now = queued_run(), clock.now("default")
    slept = Process.join(Role.WORKER, using="default", now=now, lease=timedelta(seconds=30))
    later = now + timedelta(seconds=31)
    with pytest.raises(LeaseLost):
        claim(slept, ["default"], 1, later)
    assert slept.renew(later, timedelta(seconds=30))
    assert [won.pk for won in claim(slept, ["default"], 1, later)] == [run.pk]


def test_a_worker_that_lost_its_lease_registers_before_it_claims():
    signed_on = Process.objects.filter(role=Role.WORKER)
    with at_work():
        wait_until(signed_on.exists)
        signed_on.delete()
        run = queued_run()
        wait_until(Run.objects.filter(pk=run.pk, state=RunState.SUCCEEDED).exists)
        run.refresh_from_db()
        assert signed_on.filter(pk=run.process_id).exists()


def test_a_run_of_an_unconfirmed_claim_is_released_and_executed(monkeypatch):
    """The connection broke after the commit, before the answer: nobody else could take the run."""
    run = queued_run()
    broken = []

    def claim_and_break(*args, **options):
        won = claim(*args, **options)
        if won and not broken:
            broken.append(won)
            raise OperationalError("the connection is gone")
        return won

    monkeypatch.setattr(claim_session, "claim", claim_and_break)
    with at_work():
        wait_until(Run.objects.filter(pk=run.pk, state=RunState.SUCCEEDED).exists)
    run.refresh_from_db()
    assert [[won.pk for won in wins] for wins in broken] == [[run.pk]]
    assert run.attempt == 1


def test_waiting_occurrences_follow_immediately(settings):
    """A task that once came late would else stay late: one run a look, one look a second."""
    settings.SISY_POLL_INTERVAL = 60
    now = clock.now("default")
    task = task_with_callable(jobs.noop, schedule="* * * * * *")
    task.save()
    for n in (2, 1):
        task.new_run(now=now, due_at=now - timedelta(seconds=n)).save()
    with at_work():
        wait_until(lambda: task.runs.filter(state=RunState.SUCCEEDED).count() == 2)


def test_a_lease_is_renewed_while_a_claim_takes_long(monkeypatch, settings):
    """Else a heartbeat would take the worker for dead, and its runs from it."""
    settings.SISY_LEASE_SECONDS = 5
    let_go = threading.Event()

    def claim_for_long(*args, **options):
        assert let_go.wait(20)
        return []

    monkeypatch.setattr(claim_session, "claim", claim_for_long)
    signed_on = Process.objects.filter(role=Role.WORKER)
    with at_work():
        wait_until(signed_on.exists)
        first = signed_on.get().lease_until
        wait_until(signed_on.filter(lease_until__gt=first).exists)
        let_go.set()


def test_a_stopping_worker_releases_unconfirmed_claims(monkeypatch):
    run = queued_run()

    def claim_stop_and_break(*args, **options):
        won = claim(*args, **options)
        if won:
            worker.stop()
            raise OperationalError("the connection is gone")
        return won

    monkeypatch.setattr(claim_session, "claim", claim_stop_and_break)
    worker = Worker()
    asyncio.run(asyncio.wait_for(worker.run(), WAIT_TIMEOUT))
    run.refresh_from_db()
    assert (run.state, run.attempt, run.process_id) == (RunState.QUEUED, 0, None)
    assert not Process.objects.exists()


class RecordingLayer:
    """Rings for nobody, and remembers for which runs it should have."""

    def __init__(self):
        self.rings = []

    async def send(self, channel, message):
        self.rings.append(message["run"])

    async def receive(self, channel):
        await asyncio.Event().wait()


def test_a_worker_that_is_full_wakes_another_one(monkeypatch):
    layer = RecordingLayer()
    first, second = queued_run(), queued_run()
    monkeypatch.setattr(channel_layer, "shared_layer", lambda: layer)
    with at_work(concurrency=1):
        wait_until(lambda: first.pk in layer.rings)
        wait_until(Run.objects.filter(pk=second.pk, state=RunState.SUCCEEDED).exists)


def test_a_worker_that_can_be_rung_polls_every_two_seconds(monkeypatch):
    monkeypatch.setattr(Worker, "_can_be_rung", lambda worker: True)
    looks = [Worker()._claiming._seconds_to_next_step(1) for _ in range(50)]
    assert min(looks) > 1.5
    assert max(looks) < 2


@pytest.mark.parametrize(("milliseconds", "wait"), [(0, 1.0), (300, 0.7), (999, 0.001)])
def test_without_doorbells_a_worker_polls_just_after_each_second(at_time, milliseconds, wait):
    at_time(clock.now("default").replace(microsecond=milliseconds * 1000))
    looks = [Worker()._claiming._seconds_to_next_step(1) for _ in range(50)]
    assert wait + claim_loop.SECOND_OFFSET <= min(looks)
    assert max(looks) <= wait + claim_loop.SECOND_OFFSET + claim_loop.POLL_JITTER
    assert len(set(looks)) > 40


async def cancels_everything(message):
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(0)


def test_a_function_that_cancels_all_tasks_of_its_loop_leaves_no_run_behind():
    runs = [Run.objects.get(task=Task.run_once(fn)) for fn in (cancels_everything, jobs.arecord)]
    over = Run.objects.filter(pk__in=[run.pk for run in runs]).exclude(finished_at=None)
    with at_work():
        wait_until(lambda: over.count() == 2)
    assert Run.objects.get(pk=runs[0].pk).state == RunState.FAILED
