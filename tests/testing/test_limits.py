"""What takes longer than its task allows has timed out, in tests of projects, too."""

import asyncio
import time as seconds
from datetime import timedelta

import pytest

from sisy import current_run
from sisy.models import Run, RunState, Task, task_with_callable
from sisy.testing import assert_ran, sisy_time

pytestmark = pytest.mark.django_db

LIMIT = timedelta(milliseconds=50)
AMPLE = timedelta(minutes=1)
LONG = 60.0  # seconds, which only a limit that is ignored lets pass


async def sleeps_long(message):
    await asyncio.sleep(LONG)


async def sleeps_on(message):
    try:
        await asyncio.sleep(LONG)
    except asyncio.CancelledError:
        return "all the same"


def sleeps_a_little_too_long(message):
    seconds.sleep(LIMIT.total_seconds() * 2)


def asks(message):
    while True:
        current_run().check()
        seconds.sleep(0.001)


def breaks_late(message):
    seconds.sleep(LIMIT.total_seconds() * 2)
    raise KeyError("of its own")


async def raises_another(message):
    raise TimeoutError("of its own")


def is_quick(message):
    return "in time"


async def is_quick_too(message):
    return "in time"


def by_time(function, limit):
    with sisy_time("2026-05-05 12:00") as time:
        task_with_callable(function, schedule="0 * * * *", timeout=limit).save()
        time.advance(hours=1)
    return Run.objects.get()


def by_eager(function, limit):
    task_with_callable(function, schedule="@yearly", timeout=limit).save()
    return Task.objects.get().run_now()


@pytest.fixture(params=[by_time, by_eager])
def carried_out(request, settings):
    settings.SISY_EAGER = request.param is by_eager

    def carry_out(function, limit=LIMIT):
        run = request.param(function, limit)
        run.refresh_from_db()
        return run

    return carry_out


@pytest.mark.parametrize("function", [sleeps_long, sleeps_on, sleeps_a_little_too_long, asks])
def test_a_function_that_takes_too_long_has_timed_out(carried_out, function):
    began = seconds.monotonic()
    run = carried_out(function)
    assert run.state == RunState.TIMED_OUT
    assert "timeout of 50 ms" in run.reason
    assert seconds.monotonic() - began < LONG


@pytest.mark.parametrize("function", [is_quick, is_quick_too])
def test_a_function_that_is_quick_enough_has_succeeded(carried_out, function):
    assert carried_out(function, AMPLE).result == "in time"


@pytest.mark.parametrize(("function", "limit"), [(raises_another, AMPLE), (breaks_late, LIMIT)])
def test_an_error_of_its_own_is_a_failure_like_any_other(carried_out, function, limit):
    run = carried_out(function, limit)
    assert run.state == RunState.FAILED
    assert "of its own" in run.reason


def test_a_failed_assertion_mentions_the_limit(carried_out):
    carried_out(sleeps_long)
    with pytest.raises(AssertionError, match=r"RunTimedOut.*timeout of 50 ms"):
        assert_ran(sleeps_long)
