"""What the worker does with runs whose functions were not called."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest

from sisy import clock
from sisy.worker.pool_client import PoolClient
from sisy.worker.prefetch import InFlight
from tests.support.clocks import SettableClock
from tests.support.moments import NOON
from tests.unit.test_prefetch import run

SOON = NOON + timedelta(milliseconds=50)


class RecordingPool:
    """A pool that notes what it is asked for."""

    def __init__(self):
        self.executed = []
        self.cancelled = []
        self.queued = set()

    def execute(self, run, ended, may_begin):
        self.executed.append(run)

    def cancel(self, run_id, reason, *, by_force, attempt):
        self.cancelled.append(run_id)

    def withdraw(self, run_id, *, attempt):
        found = {(run_id, attempt)} & self.queued
        self.queued -= found
        return bool(found)


class Wakes:
    """A loop that counts how often it is woken."""

    def __init__(self):
        self.count = 0

    def wake(self):
        self.count += 1


@pytest.fixture
def noon():
    with clock.use(SettableClock(NOON)) as noon:
        yield noon


def opened(pool, wakes):
    in_flight = InFlight(4)
    client = PoolClient(
        "default", in_flight, None, SimpleNamespace(surely_holds=None), None, wakes
    )
    client._pool = pool
    early = run(1)
    early.ready_at = SOON
    in_flight.take(early, is_early=True)
    client.execute(early)
    return client, in_flight, early


async def test_a_run_that_is_cancelled_before_its_moment_is_not_called(noon):
    pool, wakes = RecordingPool(), Wakes()
    client, _in_flight, early = opened(pool, wakes)
    client.cancel(early, "Not wanted.", by_force=False)
    noon.moment = SOON
    await asyncio.sleep(0.1)
    assert pool.executed == []
    assert [run for runs in client.returned.values() for run in runs] == [early]
    assert wakes.count == 1


async def test_a_worker_that_stops_takes_back_everything_that_was_not_called(noon):
    pool = RecordingPool()
    client, in_flight, cancelled = opened(pool, Wakes())
    client.cancel(cancelled, "Not wanted.", by_force=False)
    waiting = run(2)
    waiting.ready_at = SOON
    in_flight.take(waiting, is_early=True)
    client.execute(waiting)
    assert client.withdraw_all() == [cancelled, waiting]
    assert client.withdraw_all() == []


async def test_what_was_lost_takes_back_no_later_attempt_of_its_run(noon):
    """A worker that was frozen may have claimed a run again while it still executes it."""
    pool = RecordingPool()
    client, in_flight, _early = opened(pool, Wakes())
    lost, again = run(2), run(2)
    again.attempt = 2
    for one in (lost, again):
        one.ready_at = NOON
        in_flight.take(one)
        client.execute(one)
    pool.queued = {(2, 2)}
    assert client.withdraw([lost, again]) == [again]


async def test_a_run_is_called_at_its_moment_and_takes_its_slot_then(noon):
    pool = RecordingPool()
    _client, in_flight, early = opened(pool, Wakes())
    assert (pool.executed, in_flight.room) == ([], 4)
    noon.moment = SOON
    await asyncio.sleep(0.1)
    assert (pool.executed, in_flight.room) == ([early], 3)
