"""Wait, wake, stop, and try again."""

import asyncio
import logging
import threading

import pytest

from sisy.runtime import loop as loop_module
from sisy.runtime.loop import FIRST_RETRY_DELAY, MAX_RETRY_DELAY, Loop

LONG = 3600.0


class Steps:
    """A step that is counted, and that waits long unless it is told what to do."""

    def __init__(self, *results):
        self.results = list(results)
        self.count = 0
        self.begun = asyncio.Event()

    async def __call__(self):
        self.count += 1
        self.begun.set()
        result = self.results.pop(0) if self.results else LONG
        if isinstance(result, BaseException):
            raise result
        return result

    async def again(self):
        """Wait for the next step to begin."""
        await self.begun.wait()
        self.begun.clear()


@pytest.fixture
def waits(monkeypatch):
    """Let no loop wait; return how long they would have."""
    seconds = []

    async def wait(self, how_long):
        seconds.append(how_long)
        await asyncio.sleep(0)

    monkeypatch.setattr(Loop, "_wait", wait)
    monkeypatch.setattr(loop_module.random, "uniform", lambda least, most: most)
    return seconds


@pytest.fixture(autouse=True)
async def in_time():
    async with asyncio.timeout(20):
        yield


async def run_through(*results):
    """Run a loop that is stopped by the step after ``results``."""

    async def stop():
        loop.stop()
        return 0.0

    steps = Steps(*results)
    loop = Loop("the step", lambda: steps() if steps.results else stop())
    await loop.run()


async def test_a_loop_waits_as_long_as_its_step_says(waits):
    await run_through(0.0, 5, 60.0)
    assert waits == [0.0, 5.0, 60.0, 0.0]


async def test_a_loop_survives_an_outage_of_many_hours(waits):
    """From the 1024th failure on, doubling the delay would be an OverflowError."""
    await run_through(*[OSError()] * 3000)
    assert waits[-3:] == [MAX_RETRY_DELAY, MAX_RETRY_DELAY, 0.0]


async def test_a_wake_begins_the_next_step_at_once():
    steps = Steps()
    loop = Loop("the step", steps)
    running = asyncio.create_task(loop.run())
    for count in (1, 2, 3):
        await steps.again()
        assert steps.count == count
        loop.wake()
    loop.stop()
    await running


async def test_a_step_knows_whether_it_was_requested():
    known = []

    async def step():
        known.append(loop.was_woken)
        if len(known) == 1:
            loop.wake()
        if len(known) == 3:
            loop.stop()
        return 0.0

    loop = Loop("the step", step)
    await loop.run()
    assert known == [False, True, False]


async def test_a_loop_is_woken_from_another_thread():
    steps = Steps()
    loop = Loop("the step", steps)
    running = asyncio.create_task(loop.run())
    await steps.again()
    await asyncio.to_thread(loop.wake)
    await steps.again()
    assert steps.count == 2
    await asyncio.to_thread(loop.stop)
    await running


async def test_a_wake_in_the_middle_of_a_step_is_not_lost():
    begun, may_end, count = asyncio.Event(), asyncio.Event(), 0

    async def step():
        nonlocal count
        count += 1
        begun.set()
        await may_end.wait()
        return LONG

    loop = Loop("the step", step)
    running = asyncio.create_task(loop.run())
    await begun.wait()
    begun.clear()
    loop.wake()
    may_end.set()
    await begun.wait()
    assert count == 2
    loop.stop()
    await running


async def test_a_loop_that_is_stopped_before_it_starts_makes_no_step():
    steps = Steps()
    loop = Loop("the step", steps)
    loop.stop()
    await loop.run()
    assert (steps.count, loop.is_stopping) == (0, True)


async def test_stopping_twice_equals_stopping_once():
    steps = Steps()
    loop = Loop("the step", steps)
    running = asyncio.create_task(loop.run())
    await steps.again()
    assert not loop.is_stopping
    loop.stop()
    loop.stop()
    await running
    assert steps.count == 1


async def test_stopping_lets_the_current_step_finish():
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), []

    async def step():
        begun.set()
        await may_end.wait()
        ended.append(True)
        return LONG

    loop = Loop("the step", step)
    running = asyncio.create_task(loop.run())
    await begun.wait()
    loop.stop()
    assert not running.done()
    may_end.set()
    await running
    assert ended == [True]


async def test_a_step_that_raises_is_tried_again_later_and_later(waits):
    await run_through(*[OSError("gone")] * 7)
    assert waits[:7] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert (FIRST_RETRY_DELAY, MAX_RETRY_DELAY) == (0.2, 5.0)


async def test_the_delay_starts_over_after_a_success(waits):
    await run_through(OSError(), OSError(), 1.0, OSError())
    assert waits[:4] == [0.2, 0.4, 1.0, 0.2]


async def test_delays_are_spread_so_that_not_all_return_at_once(waits, monkeypatch):
    monkeypatch.setattr(loop_module.random, "uniform", lambda least, most: least)
    await run_through(OSError(), OSError())
    assert waits[:2] == [0.1, 0.2]


async def test_an_outage_is_logged_once_and_its_end_once(waits, caplog):
    caplog.set_level(logging.INFO, "sisy")
    await run_through(OSError("gone"), OSError("gone"), OSError("gone"), 0.0, 0.0)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the step failed (OSError: gone); retrying"),
        ("INFO", "the step works again after 3 failures"),
    ]


async def test_each_outage_is_logged(waits, caplog):
    await run_through(OSError("first"), 0.0, OSError("second"))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [text.partition(";")[0] for text in warnings] == [
        "the step failed (OSError: first)",
        "the step failed (OSError: second)",
    ]


async def test_a_loop_can_be_cancelled():
    steps = Steps()
    running = asyncio.create_task(Loop("the step", steps).run())
    await steps.again()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_step_that_is_cancelled_is_not_taken_for_an_outage():
    with pytest.raises(asyncio.CancelledError):
        await Loop("the step", Steps(asyncio.CancelledError())).run()


async def test_a_loop_whose_event_loop_has_ended_can_still_be_woken():
    loop = Loop("the step", Steps())

    def live():
        async def run_and_stop():
            running = asyncio.create_task(loop.run())
            await asyncio.sleep(0)
            loop.stop()
            await running

        asyncio.run(run_and_stop())

    thread = threading.Thread(target=live)
    thread.start()
    await asyncio.to_thread(thread.join)
    loop.wake()
    loop.stop()


def test_a_step_that_must_succeed_is_retried_and_logged_once(monkeypatch, caplog):
    monkeypatch.setattr(loop_module.time, "sleep", lambda seconds: None)
    caplog.set_level("INFO", "sisy")
    errors = [OSError("away"), OSError("still away")]

    def step():
        if errors:
            raise errors.pop(0)

    loop_module.retry_until_success("The database", step, OSError)
    assert [record.getMessage() for record in caplog.records] == [
        "The database failed (OSError: away); retrying",
        "The database works again after 2 failures",
    ]
