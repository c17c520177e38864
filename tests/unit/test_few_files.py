"""A worker that may open few more files charges no run for that."""

import os
import resource
from contextlib import contextmanager

import pytest

from sisy.execution import NotCalled, ProcessPool, ThreadPool
from sisy.models import RunState
from tests.support.moments import NOON
from tests.unit.functions import pid
from tests.unit.leaving import agrees
from tests.unit.runs import executed, run_of


@contextmanager
def spare_files(number):
    """Let this process open so many more files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir("/proc/self/fd")}
    free = (n for n in range(before[0]) if n not in taken)
    limit = next(n for count, n in enumerate(free) if count == number)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("kind", [ProcessPool, ThreadPool])
async def test_a_run_is_executed_or_not_called_and_never_fails(kind):
    for number in range(20):
        pool = kind(1, lambda: NOON)
        try:
            # The process from which children are forked would keep the limit.
            assert (await executed(kind(1, lambda: NOON), run_of(pid))).state == RunState.SUCCEEDED
            with spare_files(number):
                for function in (pid, agrees) if kind is ThreadPool else (pid,):
                    outcome = await executed(pool, run_of(function))
                    if not isinstance(outcome, NotCalled):
                        assert (outcome.state, outcome.reason) == (RunState.SUCCEEDED, "")
            assert (await executed(pool, run_of(pid))).state == RunState.SUCCEEDED
        finally:
            pool.close()
