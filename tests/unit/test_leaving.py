"""No function ends a thread or a loop of Sisy, whatever it raises, and wherever."""

import asyncio

import pytest

from sisy.execution import ProcessPool, ThreadPool
from sisy.models import RunState
from tests.unit import leaving
from tests.unit.runs import eventually, executed, run_of

BOTH = [
    getattr(leaving, f"{way}{function.__name__}")
    for function in leaving.ENDLESS
    for way in ("", "plain_")
]


@pytest.fixture
def pool(pool_of):
    return pool_of(ThreadPool, 2)


def own(caplog):
    """Return what Sisy has logged; asyncio logs tasks that nobody waits for, too."""
    return [record for record in caplog.records if record.name == "sisy"]


async def goes_on(pool):
    """Check that each thread and each loop of a pool still carries out what it is given."""
    for _ in range(4):
        for function in (leaving.agrees, leaving.plain_agrees):
            assert (await executed(pool, run_of(function))).result == "async"


@pytest.mark.parametrize("function", BOTH, ids=lambda function: function.__name__)
async def test_a_function_that_exits_in_a_task_or_callback_fails_with_that_error(pool, function):
    outcome = await executed(pool, run_of(function))
    assert (outcome.state, outcome.reason) == (RunState.FAILED, "SystemExit: of its own")
    assert outcome.error_class == "builtins.SystemExit"
    assert "Traceback" in outcome.error
    await goes_on(pool)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (leaving.gathers_an_interrupt, "KeyboardInterrupt: of its own"),
        (leaving.plain_gathers_an_interrupt, "KeyboardInterrupt: of its own"),
        (leaving.gathers_what_asyncio_keeps, "Odd: of its own"),
        (leaving.gathers_a_generator_exit, "GeneratorExit: of its own"),
    ],
)
async def test_a_function_that_raises_a_base_exception_fails_with_it(pool, function, reason):
    outcome = await executed(pool, run_of(function))
    assert (outcome.state, outcome.reason) == (RunState.FAILED, reason)
    await goes_on(pool)


async def test_only_the_run_that_created_the_task_fails(pool_of):
    """The others of the loop know nothing of it."""
    pool = pool_of(ThreadPool, 20)
    runs = []
    for n in range(20):
        function = leaving.gathers if n % 4 == 0 else slow
        runs.append(executed(pool, run_of(function, pk=n + 1)))
    states = [outcome.state for outcome in await asyncio.gather(*runs)]
    assert states == [RunState.FAILED, *[RunState.SUCCEEDED] * 3] * 5


async def slow(message):
    for _ in range(20):
        await asyncio.sleep(0.001)


async def test_if_the_run_is_unknown_none_fails_and_the_error_is_logged(pool, caplog):
    """A generator is closed wherever Python collects it, in the context of any run."""
    outcome = await executed(pool, run_of(leaving.drops_a_generator))
    assert outcome.state == RunState.SUCCEEDED
    [record] = own(caplog)
    assert record.levelname == "ERROR"
    assert "no run fails" in record.getMessage()
    assert record.exc_info[0] is SystemExit
    await goes_on(pool)


async def test_leftovers_of_a_run_harm_no_later_run_and_are_logged(pool, caplog):
    outcome = await executed(pool, run_of(leaving.leaves_after_its_end))
    assert outcome.state == RunState.SUCCEEDED
    await eventually(lambda: own(caplog))
    [record] = own(caplog)
    assert "run 5 raised SystemExit" in record.getMessage()
    await goes_on(pool)


@pytest.mark.parametrize(
    ("function", "state"),
    [
        (leaving.stops_its_loop, RunState.SUCCEEDED),
        (leaving.closes_its_loop, RunState.FAILED),
        (leaving.returns_an_impostor, RunState.FAILED),
    ],
)
async def test_a_loop_survives_a_function_that_stops_or_closes_it(pool, function, state):
    for _ in range(2):
        assert (await executed(pool, run_of(function))).state == state
    await goes_on(pool)


async def test_a_loop_that_rejects_tasks_fails_the_runs_it_rejects(pool):
    assert (await executed(pool, run_of(leaving.agrees))).result == "async"
    await executed(pool, run_of(leaving.refuses_tasks))
    outcome = await executed(pool, run_of(leaving.agrees))
    assert (outcome.state, outcome.reason) == (RunState.FAILED, "SystemExit: no tasks here")
    async with asyncio.timeout(20):
        while (await executed(pool, run_of(leaving.agrees))).state == RunState.FAILED:
            await asyncio.sleep(0.005)
    await goes_on(pool)


async def test_in_a_child_process_it_is_the_same(pool_of):
    pool = pool_of(ProcessPool, 1)
    for function in (leaving.gathers, leaving.calls_soon, leaving.plain_calls_soon):
        outcome = await executed(pool, run_of(function))
        assert (outcome.state, outcome.reason) == (RunState.FAILED, "SystemExit: of its own")
        assert (await executed(pool, run_of(leaving.agrees))).result == "async"
    assert (await executed(pool, run_of(leaving.plain_agrees))).result == "async"


async def test_a_pool_can_be_closed_though_tasks_exit_when_they_are_cancelled(pool):
    outcome = await executed(pool, run_of(leaves_a_stubborn_task))
    assert outcome.state == RunState.SUCCEEDED
    await asyncio.to_thread(pool.close)
    await eventually(lambda: pool._awaiting.loop.is_closed())


async def exits_when_it_is_cancelled():
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise SystemExit("of its own") from None


async def leaves_a_stubborn_task(message):
    stubborn.append(asyncio.create_task(exits_when_it_is_cancelled()))
    await asyncio.sleep(0)


stubborn = []
