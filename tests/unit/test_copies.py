"""A process that a function has forked ends with the function, and carries out nothing else."""

import pytest

from sisy.execution import ProcessPool, ThreadPool
from sisy.models import RunState
from tests.support.moments import NOON
from tests.unit import copying, leaving
from tests.unit.runs import executed, run_of

FORKING = [
    copying.comes_back,
    copying.raises_in_the_copy,
    copying.acomes_back,
    copying.comes_back_in_a_thread,
]


@pytest.mark.parametrize("function", FORKING, ids=lambda function: function.__name__)
@pytest.mark.parametrize("kind", [ThreadPool, ProcessPool])
async def test_a_forked_copy_that_returns_from_the_function_ends(kind, function):
    pool = kind(1, lambda: NOON)
    try:
        outcome = await executed(pool, run_of(function))
        assert (outcome.state, outcome.result) == (RunState.SUCCEEDED, "ended with 0")
        for sound in (leaving.agrees, leaving.plain_agrees):
            assert (await executed(pool, run_of(sound))).state == RunState.SUCCEEDED
    finally:
        pool.close()
