"""How runs end: everything that a function can do becomes an outcome."""

import asyncio
import threading
import time
from contextlib import suppress
from contextvars import ContextVar
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from sisy.callables import Target
from sisy.exceptions import TargetMissing
from sisy.execution import ERROR_LIMIT, RESULT_LIMIT, ThreadPool
from sisy.models import RunState
from tests.support.moments import NOON
from tests.unit.runs import executed, run_of_path

FAR = timedelta(hours=1)
SOON = timedelta(milliseconds=20)

returned = None
raised = None
begun, cancelled, let_go = threading.Event(), threading.Event(), threading.Event()


def returns(message):
    return returned


async def areturns(message):
    return returned


def raises(message):
    raise raised


async def araises(message):
    raise raised


def takes_nothing():
    """Took a message once; code moves."""


async def waits_for_ever(message):
    begun.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        cancelled.set()
        raise


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Untold(dict):
    def items(self):
        raise RuntimeError("no items")


@pytest.fixture
def pool(pool_of):
    return pool_of(ThreadPool, 2)


@pytest.fixture(autouse=True)
def nothing_begun():
    begun.clear()
    cancelled.clear()


def run_of(function, **columns):
    return run_of_path(f"{__name__}.{function}", **columns)


async def outcome_of_value(pool, value, function="returns"):
    global returned
    returned = value
    outcome = await executed(pool, run_of(function))
    assert outcome.state == RunState.SUCCEEDED
    return outcome


async def outcome_of_error(pool, error, function="raises"):
    global raised
    raised = error
    outcome = await executed(pool, run_of(function))
    assert outcome.state == RunState.FAILED
    return outcome


@pytest.mark.parametrize("function", ["returns", "areturns"])
@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        (0, 0),
        ({"a": [1, "ü", "😀", None, 1.5]}, {"a": [1, "ü", "😀", None, 1.5]}),
        ((1, 2), [1, 2]),
        ("\\u0000 as text", "\\u0000 as text"),
        ("a" * (RESULT_LIMIT - 2), "a" * (RESULT_LIMIT - 2)),
    ],
)
async def test_a_json_value_is_stored(pool, function, value, kept):
    outcome = await outcome_of_value(pool, value, function)
    assert (outcome.result, outcome.reason, outcome.error) == (kept, "", "")
    assert (outcome.started_at, outcome.finished_at) == (NOON, NOON)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({1, 2}, "JSON cannot represent it: Object of type set is not JSON serializable"),
        (
            float("nan"),
            "JSON cannot represent it: Out of range float values are not JSON compliant",
        ),
        (Untold(a=1), "JSON cannot represent it: no items"),
        ("a" * (RESULT_LIMIT - 1), "it has 64001 characters as JSON"),
        ("a\0b", "it contains the NUL character, which databases reject"),
        ("\ud800", "it contains an unpaired surrogate, which databases reject"),
    ],
)
async def test_a_value_that_cannot_be_stored_is_a_success_with_a_note(pool, value, why):
    outcome = await outcome_of_value(pool, value)
    assert outcome.result is None
    assert outcome.reason.startswith(f"The return value was not stored: {why}")
    assert outcome.reason.endswith(".")


async def test_a_value_that_is_too_deep_is_not_stored(pool):
    deep = []
    for _ in range(100_000):
        deep = [deep]
    outcome = await outcome_of_value(pool, deep)
    assert outcome.reason.startswith("The return value was not stored: it is nested")


@pytest.mark.parametrize("function", ["raises", "araises"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("it was to be expected"), "RuntimeError: it was to be expected"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (GeneratorExit(), "GeneratorExit: "),
        (TimeoutError("of its own"), "TimeoutError: of its own"),
        (ValueError("a\0b\ud800"), "ValueError: a\\x00b\\ud800"),
        (Unspeakable(), "Unspeakable: <exception str() failed>"),
        (ExceptionGroup("two", [OSError(), KeyError()]), "ExceptionGroup: two (2 sub-exceptions)"),
    ],
)
async def test_whatever_a_function_raises_is_a_failure(pool, function, error, reason):
    outcome = await outcome_of_error(pool, error, function)
    assert outcome.reason == reason
    assert (
        outcome.error.startswith("Traceback (most recent call last)") or "+ Exc" in outcome.error
    )
    assert f"in {function}\n" in outcome.error
    assert not outcome.target_is_broken
    assert "\0" not in outcome.error
    outcome.error.encode()
    assert (await outcome_of_value(pool, "and on it goes", "areturns")).result == "and on it goes"


async def test_a_function_that_is_out_of_items_fails_like_any_other(pool):
    """Python's futures cannot carry this error: it would be waited for in vain."""
    outcome = await outcome_of_error(pool, StopIteration("empty"))
    assert outcome.reason == "StopIteration: empty"
    outcome = await outcome_of_error(pool, StopIteration("empty"), "araises")
    assert outcome.reason == "RuntimeError: coroutine raised StopIteration"


@pytest.mark.parametrize("function", ["raises", "araises"])
async def test_a_function_that_cancels_itself_fails(pool, function):
    outcome = await outcome_of_error(pool, asyncio.CancelledError(), function)
    assert outcome.reason == "CancelledError: "


async def test_a_long_error_keeps_its_end(pool):
    outcome = await outcome_of_error(pool, RuntimeError("a" * 2 * ERROR_LIMIT + " the end"))
    assert len(outcome.reason) == 500
    assert len(outcome.error) == ERROR_LIMIT + len("[…]\n")
    assert outcome.error.startswith("[…]\na")
    assert outcome.error.endswith("a the end\n")


async def test_a_missing_target_is_a_failure_with_the_reason(pool):
    outcome = await executed(pool, run_of("no_such_function"))
    assert (outcome.state, outcome.target_is_broken) == (RunState.FAILED, True)
    assert outcome.reason.startswith(f"TargetMissing: {__name__}.no_such_function")


async def test_a_target_that_takes_other_parameters_now_is_broken_too(pool):
    outcome = await executed(pool, run_of("takes_nothing"))
    assert (outcome.state, outcome.target_is_broken) == (RunState.FAILED, True)
    assert outcome.reason.startswith(f"CallableError: {__name__}.takes_nothing")


@pytest.mark.parametrize("function", ["raises", "araises"])
async def test_a_function_that_meets_a_broken_target_of_another_task_is_not_broken(pool, function):
    outcome = await outcome_of_error(pool, TargetMissing("of another task"), function)
    assert (outcome.state, outcome.target_is_broken) == (RunState.FAILED, False)


async def test_an_async_function_that_takes_too_long_is_cancelled(pool):
    outcome = await executed(pool, run_of("waits_for_ever", timeout=SOON))
    assert outcome.state == RunState.TIMED_OUT
    assert outcome.reason.startswith("RunTimedOut: ")
    assert "20 ms" in outcome.reason
    assert cancelled.is_set()


async def test_an_async_function_in_time_is_left_alone(pool):
    global returned
    returned = "in time"
    assert (await executed(pool, run_of("areturns", timeout=FAR))).result == "in time"


async def test_a_timeout_error_of_the_function_is_a_failure(pool):
    global raised
    raised = TimeoutError("of its own")
    outcome = await executed(pool, run_of("araises", timeout=FAR))
    assert (outcome.state, outcome.reason) == (RunState.FAILED, "TimeoutError: of its own")


async def test_a_closed_pool_cancels_the_functions_that_it_awaits(pool):
    going_on = asyncio.create_task(executed(pool, run_of("waits_for_ever")))
    assert await asyncio.to_thread(begun.wait, 20)
    pool.close()
    assert cancelled.wait(20)
    going_on.cancel()


def test_the_functions_of_this_module_can_be_called():
    for name in ("returns", "araises", "waits_for_ever"):
        Target(path=f"{__name__}.{name}").check()


def blocks_for_a_while(message):
    begun.set()
    assert let_go.wait(20)


async def ablocks(message):
    blocks_for_a_while(message)


async def test_a_blocking_async_function_does_not_delay_synchronous_ones(pool):
    begun.clear()
    let_go.clear()
    blocking = asyncio.create_task(executed(pool, run_of("ablocks")))
    assert await asyncio.to_thread(begun.wait, 20)
    assert (await executed(pool, run_of("returns"))).state == RunState.SUCCEEDED
    let_go.set()
    assert (await blocking).state == RunState.SUCCEEDED


async def cancels_itself(message):
    asyncio.current_task().cancel()


async def stops_its_loop(message):
    asyncio.get_running_loop().stop()


async def test_a_function_that_cancels_its_own_task_or_stops_its_loop_ends(pool):
    outcome = await executed(pool, run_of("cancels_itself"))
    assert (outcome.state, outcome.reason) == (RunState.FAILED, "CancelledError: ")
    assert (await executed(pool, run_of("stops_its_loop"))).state == RunState.SUCCEEDED
    assert (await executed(pool, run_of("areturns"))).state == RunState.SUCCEEDED


class Nameless(type):
    @property
    def __name__(cls):
        raise RuntimeError("no name")


class WithoutName(Exception, metaclass=Nameless):
    pass


class WithoutNotes(Exception):
    @property
    def __notes__(self):
        raise RuntimeError("no notes")


@pytest.mark.parametrize("error", [WithoutName(), WithoutNotes()])
async def test_an_error_that_cannot_be_formatted_is_a_failure(pool, error):
    outcome = await outcome_of_error(pool, error)
    assert outcome.state == RunState.FAILED
    assert outcome.reason


class Untellable(Exception):
    """Whatever is asked of it raises what is no Exception."""

    def __str__(self):
        raise KeyboardInterrupt

    @property
    def __notes__(self):
        raise SystemExit(5)


class ExitsWhenItIsRead(dict):
    def items(self):
        raise SystemExit(6)


@pytest.mark.parametrize("function", ["raises", "araises"])
async def test_an_error_that_tries_to_end_the_worker_is_a_failure(pool, function):
    outcome = await outcome_of_error(pool, Untellable(), function)
    assert outcome.reason == "Untellable: <exception str() failed>"


async def test_a_value_that_tries_to_end_the_worker_is_not_stored(pool):
    outcome = await outcome_of_value(pool, ExitsWhenItIsRead(a=1), "areturns")
    assert "not stored" in outcome.reason


class SlowToTell(Exception):
    def __str__(self):
        begun.set()
        assert let_go.wait(20)
        return "told"


async def test_an_error_that_formats_slowly_delays_no_other_run(pool):
    """It is told where the function ran, and not in the loop that renews the worker's lease."""
    global raised
    raised = SlowToTell()
    let_go.clear()
    telling = asyncio.create_task(executed(pool, run_of("raises")))
    assert await asyncio.to_thread(begun.wait, 20)
    assert (await executed(pool, run_of("returns"))).state == RunState.SUCCEEDED
    let_go.set()
    assert (await telling).reason == "SlowToTell: told"


loops = []


async def notes_its_loop():
    loops.append(asyncio.get_running_loop())


def calls_async_code_twice(message):
    for _ in range(2):
        async_to_sync(notes_its_loop)()


def blocks_in_async_code(message):
    async_to_sync(ablocks)(message)


async def test_async_to_sync_in_a_plain_function_uses_the_same_loop(pool):
    """Else each message to a channel layer would need a new connection."""
    loops.clear()
    for _ in range(2):
        assert (await executed(pool, run_of("calls_async_code_twice"))).state == "succeeded"
    assert len(loops) == 4
    assert len(set(loops)) == 1


async def test_a_plain_function_blocking_in_async_code_delays_no_other_run(pool):
    loops.clear()
    let_go.clear()
    blocking = asyncio.create_task(executed(pool, run_of("blocks_in_async_code")))
    assert await asyncio.to_thread(begun.wait, 20)
    for function in ("returns", "areturns", "calls_async_code_twice"):
        assert (await executed(pool, run_of(function))).state == RunState.SUCCEEDED
    let_go.set()
    assert (await blocking).state == RunState.SUCCEEDED


def waits_in_a_loop(message):
    async_to_sync(waits_without_awaiting)()


async def waits_without_awaiting():
    begun.set()
    let_go.wait(60)


async def test_a_pool_with_many_loops_that_hang_closes_quickly(pool_of):
    pool = pool_of(ThreadPool, 12)
    let_go.clear()
    going = []
    for _ in range(12):
        begun.clear()
        going.append(asyncio.create_task(executed(pool, run_of("waits_in_a_loop"))))
        await asyncio.to_thread(begun.wait, 20)
    began = time.monotonic()
    pool.close()
    assert time.monotonic() - began < 4
    let_go.set()
    await asyncio.gather(*going)


async def swallows_its_cancellation(message):
    begun.set()
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    while not let_go.is_set():
        await asyncio.sleep(0.001)


async def waits_in_a_thread(message):
    await sync_to_async(let_go.wait)(60)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        ("swallows_its_cancellation", "its function suppresses the cancellation"),
        ("waits_in_a_thread", "a call of sync_to_async has not returned"),
    ],
)
async def test_an_async_function_that_outlives_its_timeout_keeps_its_slot(
    pool, caplog, monkeypatch, function, why
):
    """If its run were over, the next one of its task would start beside it."""
    monkeypatch.setattr("sisy.execution.async_call.WARN_AFTER", 0.01)
    let_go.clear()
    with caplog.at_level("WARNING", logger="sisy"):
        run = run_of(function, timeout=SOON)
        going = asyncio.create_task(executed(pool, run))
        async with asyncio.timeout(20):
            while not caplog.records:
                await asyncio.sleep(0.001)
        assert not going.done()
        let_go.set()
        assert (await going).state == RunState.TIMED_OUT
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning.startswith(
        f"Run 5 (a task) is still running after its timeout of 20 ms, because {why}; "
    )


def notes_in_its_context(message):
    before = noted.get("nothing")
    noted.set("a note")
    return before


noted = ContextVar("noted")


async def test_context_variables_do_not_leak_into_the_next_run(pool):
    for _ in range(3):
        assert (await executed(pool, run_of("notes_in_its_context"))).result == "nothing"
