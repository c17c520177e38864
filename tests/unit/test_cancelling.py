"""Runs that are asked to end, in threads and in child processes, and how they end."""

import asyncio
import multiprocessing
import pickle
import threading
from ctypes import c_uint64
from functools import partial

import pytest

from sisy.execution import ProcessPool, ThreadPool
from sisy.execution.child import Child
from sisy.execution.child_protocol import Cancel, Execute, Exit, Reader, Writer
from sisy.models import RunState
from tests.support.moments import NOON
from tests.unit.functions import (
    araises_another,
    asks,
    asks_in_a_thread,
    asks_no_more_than_once,
    begins,
    catches_the_cancellation,
    checks_once,
    raises_another,
    raises_run_cancelled,
    swallows_one_cancellation,
    waits,
)
from tests.unit.runs import FAR, WAIT_TIMEOUT, eventually, executed, run_of


@pytest.fixture(params=[ThreadPool, ProcessPool])
def pool(request, pool_of):
    return pool_of(request.param, 2)


async def cancelled(pool, tmp_path, function, **options):
    """Return the outcome of a run that is asked to end once it has begun."""
    begun = tmp_path / "begun"
    run = run_of(function, timeout=FAR, userdata={"begun": str(begun)})
    going = asyncio.create_task(executed(pool, run))
    await eventually(begun.exists)
    assert pool.cancel(run.pk, "no longer of use", **options)
    return await going


@pytest.mark.parametrize("function", [asks, waits, asks_in_a_thread])
async def test_a_function_that_does_not_catch_the_request_is_cancelled(pool, tmp_path, function):
    outcome = await cancelled(pool, tmp_path, function)
    assert (outcome.state, outcome.reason) == (RunState.CANCELLED, "no longer of use")
    assert f"in {function.__name__}" in outcome.error
    assert outcome.result is None


@pytest.mark.parametrize("function", [asks_no_more_than_once, catches_the_cancellation])
async def test_a_function_that_still_returns_has_succeeded(pool, tmp_path, function):
    outcome = await cancelled(pool, tmp_path, function)
    assert (outcome.state, outcome.result) == (RunState.SUCCEEDED, "ended in its own way")


@pytest.mark.parametrize("function", [raises_another, araises_another])
async def test_a_function_that_raises_something_else_has_failed(pool, tmp_path, function):
    outcome = await cancelled(pool, tmp_path, function)
    assert (outcome.state, outcome.reason) == (RunState.FAILED, "ValueError: of its own")


async def test_an_unrequested_cancellation_is_a_failure(pool):
    outcome = await executed(pool, run_of(raises_run_cancelled))
    assert (outcome.state, outcome.reason) == (RunState.FAILED, "RunCancelled: of its own")


async def test_a_run_that_is_not_running_here_cannot_be_cancelled(pool):
    assert not pool.cancel(5, "too early")
    assert (await executed(pool, run_of(checks_once))).state == RunState.SUCCEEDED
    assert not pool.cancel(5, "too late")
    assert (await executed(pool, run_of(checks_once))).state == RunState.SUCCEEDED


async def test_a_run_that_is_cancelled_before_its_turn_is_never_called(pool, tmp_path):
    """Slots may be taken; what waits for one in the pool must not start after all."""
    blockers = [
        asyncio.create_task(
            executed(pool, run_of(asks, pk=pk, userdata={"begun": str(tmp_path / str(pk))}))
        )
        for pk in (1, 2)
    ]
    await eventually(lambda: (tmp_path / "1").exists() and (tmp_path / "2").exists())
    begun = tmp_path / "begun"
    third = asyncio.create_task(executed(pool, run_of(begins, userdata={"begun": str(begun)})))
    await eventually(partial(pool.cancel, 5, "not yet begun"))
    for pk in (1, 2):
        assert pool.cancel(pk, "make room")
    outcome = await third
    assert (outcome.state, outcome.reason) == (RunState.CANCELLED, "not yet begun")
    assert {(await blocker).state for blocker in blockers} == {RunState.CANCELLED}
    assert not begun.exists()


async def test_a_second_request_has_an_effect_only_with_force(pool_of, tmp_path):
    """A function that tidies up after a cancellation must not be cancelled out of that."""
    pool = pool_of(ThreadPool, 1)
    begun = tmp_path / "begun"
    run = run_of(swallows_one_cancellation, userdata={"begun": str(begun)})
    going = asyncio.create_task(executed(pool, run))
    await eventually(begun.exists)
    assert pool.cancel(run.pk, "first")
    await eventually((tmp_path / "swallowed").exists)
    for _ in range(3):
        assert pool.cancel(run.pk, "again")
    assert not (await asyncio.wait({going}, timeout=0.1))[0]
    assert pool.cancel(run.pk, "by force", by_force=True)
    outcome = await going
    assert (outcome.state, outcome.reason) == (RunState.CANCELLED, "by force")


async def test_a_run_is_cancelled_from_any_thread(pool, tmp_path):
    begun = tmp_path / "begun"
    going = asyncio.create_task(executed(pool, run_of(waits, userdata={"begun": str(begun)})))
    await eventually(begun.exists)
    threading.Thread(target=pool.cancel, args=(5, "from a thread")).start()
    assert (await going).reason == "from a thread"


async def test_a_reason_is_truncated_and_made_storable(pool, tmp_path):
    begun = tmp_path / "begun"
    going = asyncio.create_task(executed(pool, run_of(waits, userdata={"begun": str(begun)})))
    await eventually(begun.exists)
    assert pool.cancel(5, "a\0" + "b" * 1000)
    outcome = await going
    assert outcome.reason == "a\\x00" + "b" * 495


async def test_a_run_can_be_cancelled_as_soon_as_it_is_submitted(pool, tmp_path):
    for n in range(10):
        run = run_of(asks, pk=n, userdata={"begun": str(tmp_path / "begun")})
        going = asyncio.create_task(executed(pool, run))
        await eventually(partial(pool.cancel, n, "at once"))
        assert (await going).state == RunState.CANCELLED


def test_a_cancel_request_does_not_overtake_its_run(tmp_path):
    """Then nobody would hear of it, and the run would go on."""
    ours, theirs = multiprocessing.Pipe()
    reader, writer = Reader(ours), Writer(ours)

    def heard():
        while (message := reader.next_message()) is None:
            assert ours.poll(WAIT_TIMEOUT)
            reader.read()
        return message

    for n in range(10):
        run = run_of(asks, pk=n, userdata={"begun": str(tmp_path / "begun")})
        writer.send(Execute(1, pickle.dumps(run), NOON))
        writer.send(Cancel(n, "at once"))
        child = Child(theirs, c_uint64())
        listening = threading.Thread(target=child.listen)
        listening.start()
        assert heard() == ""
        assert heard().outcome.state == RunState.CANCELLED
        writer.send(Exit())
        listening.join(WAIT_TIMEOUT)
        child.close()
