"""When a worker looks whether its runs were cancelled."""

from copy import copy

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from sisy.lifecycle.release import release
from sisy.models import Run, RunState, Task
from sisy.worker.cancellation import CancellationWatcher
from sisy.worker.claim import claim
from tests.app import jobs
from tests.app.models import Execution
from tests.roles.at_work import at_work, wait_until
from tests.support.moments import NOON
from tests.support.records import scheduled, stored, worker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def seldom(settings):
    """Let a worker look once a minute by itself."""
    settings.SISY_POLL_INTERVAL = 60


def test_short_runs_end_before_a_worker_looks_at_them_again(monkeypatch):
    looks = []
    held = CancellationWatcher._held
    monkeypatch.setattr(
        CancellationWatcher, "_held", lambda self, runs: looks.append(runs) or held(self, runs)
    )
    with at_work():
        for _ in range(3):
            Task.bulk_run_once(jobs.noop, [{"n": n} for n in range(40)])
            wait_until(lambda: not Run.objects.live().exists())
    assert Run.objects.filter(state=RunState.SUCCEEDED).count() == 120
    assert not looks


def test_a_request_is_seen_at_once():
    with at_work():
        run = Run.objects.get(task=Task.run_once(jobs.goes_on_until_asked))
        wait_until(Execution.objects.filter(run=run.pk).exists)
        run.cancel("the disk is full")
        wait_until(lambda: not Run.objects.live().filter(pk=run.pk).exists())
    assert stored(run).state == RunState.CANCELLED


class Asked:
    """A pool that notes what it is asked to cancel."""

    def __init__(self):
        self.cancelled = []

    def cancel(self, run, reason, *, by_force):
        self.cancelled.append((run.pk, run.attempt))


class Here:
    """The database thread of a watcher, in this thread."""

    def __init__(self, before):
        self._before = before

    async def run(self, step, *args):
        await sync_to_async(self._before)()
        return await sync_to_async(step)(*args)


def test_an_attempt_that_was_claimed_again_is_not_cancelled():
    process = worker()
    run = scheduled("0 0 1 1 *").new_run(now=NOON, state=RunState.RUNNING, attempt=2)
    run.process = process
    run.save()
    lost = copy(run)
    lost.attempt = 1
    in_flight, pool = [lost], Asked()
    here = Here(lambda: in_flight.append(run))
    watcher = CancellationWatcher("default", here, in_flight, pool)
    async_to_sync(watcher._cancel_requested)()
    async_to_sync(watcher._cancel_requested)()
    assert pool.cancelled == [(run.pk, 1)]


def test_a_run_that_was_released_and_claimed_again_is_not_cancelled():
    """Releasing a run refunds its attempt, so the worker claims one of the same number."""
    process = worker()
    run = scheduled("0 0 1 1 *").new_run(now=NOON, state=RunState.RUNNING, attempt=1)
    run.process = process
    run.save()
    in_flight, pool = [run], Asked()

    class Slow(Here):
        async def run(self, step, *args):
            answer = await super().run(step, *args)
            in_flight[:] = await sync_to_async(claim)(process, ["default"], 1, NOON)
            return answer

    here = Slow(lambda: release("default", [run], "Its worker was busy.", NOON))
    watcher = CancellationWatcher("default", here, in_flight, pool)
    async_to_sync(watcher._cancel_requested)()
    assert [again.attempt for again in in_flight] == [run.attempt]
    assert pool.cancelled == []
