"""The function of a run that was started ahead is called at its moment, and never before."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import pytest

from sisy import clock
from sisy.worker.early_claim import StartTimers
from tests.support.clocks import SettableClock
from tests.support.moments import NOON

SOON = NOON + timedelta(milliseconds=2)
RUN = SimpleNamespace(id=1, attempt=1, ready_at=SOON)
LATER = SimpleNamespace(id=2, attempt=1, ready_at=NOON + timedelta(milliseconds=100))


@pytest.fixture
def slow():
    """Return a clock that stands still until the test sets it."""
    with clock.use(SettableClock(NOON)) as slow:
        yield slow


def timers_of(called, given_back=None):
    return StartTimers("default", called.append, (given_back or []).append)


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_run_that_is_ready_is_called_at_once(slow):
    called = []
    slow.moment = SOON
    timers_of(called).call_at_its_moment(RUN)
    assert called == [RUN]


async def test_a_timer_that_ends_before_the_clock_says_so_waits_on(slow):
    called = []
    timers_of(called).call_at_its_moment(RUN)
    await asyncio.sleep(0.02)
    assert called == []
    slow.moment = SOON - timedelta(microseconds=1)
    await asyncio.sleep(0.01)
    assert called == []
    slow.moment = SOON
    await until(lambda: called == [RUN])


async def test_each_run_is_called_once(slow):
    called = []
    timers = timers_of(called)
    timers.call_at_its_moment(RUN)
    slow.moment = SOON
    await until(lambda: called)
    await asyncio.sleep(0.02)
    assert called == [RUN]
    assert timers.withdraw([RUN]) == []


async def test_a_withdrawn_run_is_not_called(slow):
    called = []
    timers = timers_of(called)
    timers.call_at_its_moment(RUN)
    timers.call_at_its_moment(LATER)
    assert timers.withdraw([RUN, RUN]) == [RUN]
    assert timers.withdraw([RUN]) == []
    slow.moment = LATER.ready_at
    await asyncio.sleep(0.02)
    assert called == []
    assert timers.withdraw([LATER]) == [LATER]


async def test_a_run_is_given_back_if_the_clock_is_set_back_before_its_moment(slow):
    called, given_back = [], []
    timers = StartTimers("default", called.append, given_back.append)
    timers.call_at_its_moment(RUN)
    slow.moment = NOON - timedelta(hours=1)
    await until(lambda: given_back == [RUN])
    assert called == []
    assert timers.withdraw([RUN]) == []
