"""Runs that wait for a slot of a pool: their turn, their withdrawal, their cancellation."""

import asyncio
import threading

import pytest

from sisy.execution import ProcessPool, ThreadPool
from sisy.execution.run_handle import ignore_outcome
from sisy.models import RunState
from tests.app.jobs import noop
from tests.support.moments import NOON
from tests.unit.functions import asks, leaves_a_connection_that_cannot_be_closed, waits
from tests.unit.runs import FAR, WAIT_TIMEOUT, eventually, executed, run_of


@pytest.fixture(params=[ThreadPool, ProcessPool])
def pool(request):
    pool = request.param(1, lambda: NOON)
    yield pool
    pool.close()


@pytest.fixture
async def blocked(pool, tmp_path):
    """Return the first run, which takes the only slot until it is cancelled."""
    begun = tmp_path / "begun"
    run = run_of(asks, timeout=FAR, userdata={"begun": str(begun)})
    going = asyncio.create_task(executed(pool, run))
    await eventually(begun.exists)
    return going


@pytest.mark.parametrize("function", [asks, waits])
async def test_no_more_runs_execute_at_once_than_there_are_slots(
    pool, blocked, tmp_path, function
):
    begun = tmp_path / "begun too"
    run = run_of(function, timeout=FAR, userdata={"begun": str(begun)}, pk=6)
    second = asyncio.create_task(executed(pool, run))
    await asyncio.sleep(0)
    assert not begun.exists()
    assert pool.cancel(5, "enough")
    assert (await blocked).state == RunState.CANCELLED
    await eventually(begun.exists)
    assert pool.cancel(6, "enough")
    assert (await second).state == RunState.CANCELLED


async def test_a_waiting_run_can_be_withdrawn_and_is_never_called(pool, blocked, tmp_path):
    begun, ended = tmp_path / "begun too", []
    run = run_of(asks, timeout=FAR, userdata={"begun": str(begun)}, pk=6)
    pool.execute(run, lambda *how: ended.append(how))
    assert pool.withdraw(6)
    assert not pool.withdraw(6)
    assert not pool.cancel(6, "not in hand")
    assert pool.cancel(5, "enough")
    await blocked
    assert (begun.exists(), ended) == (False, [])


async def test_only_the_attempt_that_is_named_is_cancelled(pool, blocked):
    assert not pool.cancel(5, "It was taken over.", by_force=True, attempt=1)
    assert not blocked.done()
    assert pool.cancel(5, "enough", attempt=2)
    assert (await blocked).state == RunState.CANCELLED


async def test_only_the_attempt_that_is_named_is_withdrawn(pool, blocked):
    pool.execute(run_of(noop, attempt=3), ignore_outcome)
    assert not pool.withdraw(5, attempt=2)
    assert pool.withdraw(5, attempt=3)
    assert pool.cancel(5, "enough")
    assert (await blocked).state == RunState.CANCELLED


async def test_a_running_run_cannot_be_withdrawn(pool, blocked):
    assert not pool.withdraw(5)
    assert pool.cancel(5, "enough")
    assert (await blocked).state == RunState.CANCELLED


def test_a_pool_has_no_more_threads_than_slots(monkeypatch):
    """The slots are the only limit, so a thread must be free before the slot of its run is."""
    pool, second_ended = ThreadPool(1, lambda: NOON), threading.Event()
    submit = threading.Thread(
        target=lambda: pool.execute(run_of(noop), lambda *ended: second_ended.set())
    )
    release = pool._threads.release

    def release_late():
        monkeypatch.undo()
        submit.start()
        submit.join(0.5)  # it must not get the slot yet
        release()

    monkeypatch.setattr(pool._threads, "release", release_late)
    pool.execute(run_of(noop), ignore_outcome)
    assert second_ended.wait(WAIT_TIMEOUT)
    assert len(pool._threads._threads) == 1
    pool.close()


async def test_a_run_ends_even_if_its_thread_cannot_close_its_connections():
    pool = ThreadPool(1, lambda: NOON)
    for _ in range(2):
        ended = await executed(pool, run_of(leaves_a_connection_that_cannot_be_closed))
        assert (ended.state, ended.reason) == (RunState.FAILED, "RuntimeError: it stays open")
    pool.close()
