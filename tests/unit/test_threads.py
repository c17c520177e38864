"""Threads that carry out blocking work."""

import asyncio
import threading

import pytest
from django.db import OperationalError

from sisy.runtime.threads import DaemonThreads, LoopOnDemand
from sisy.store.isolation import past_deadlocks

DEADLOCK = OperationalError(1213, "Deadlock found when trying to get lock")


def test_as_many_run_at_once_as_there_are_threads_however_they_came_to_be():
    for _ in range(200):
        threads = DaemonThreads("sisy-test", size=4)
        threads.submit(int).result(20)
        together = threading.Barrier(4)
        waiting = [threads.submit(together.wait, 20) for _ in range(4)]
        assert sorted(future.result(20) for future in waiting) == [0, 1, 2, 3]
        threads.shutdown()


def test_threads_that_are_not_needed_are_not_started():
    threads = DaemonThreads("sisy-test", size=4)
    for _ in range(20):
        threads.submit(int).result(20)
    assert len(threads._threads) == 1
    threads.shutdown()


def test_an_error_is_passed_to_the_caller_of_the_future():
    threads = DaemonThreads("sisy-test", size=1)
    assert isinstance(threads.submit(int, "x").exception(20), ValueError)
    assert threads.submit(int).result(20) == 0
    threads.shutdown()


class EndedBy:
    """A step that fails with some errors, one after the other, before it succeeds."""

    def __init__(self, *errors):
        self.errors = list(errors)

    def __call__(self):
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_a_step_aborted_by_a_deadlock_is_repeated_without_a_log_line(caplog):
    timeout = OperationalError(1205, "Lock wait timeout exceeded")
    of_postgresql = OperationalError("deadlock detected")
    of_postgresql.__cause__ = RuntimeError()
    of_postgresql.__cause__.sqlstate = "40P01"
    assert past_deadlocks(EndedBy(DEADLOCK, timeout, of_postgresql)) == "done"
    assert caplog.records == []


@pytest.mark.parametrize(
    "errors", [[OperationalError(2006, "Server has gone away")], [DEADLOCK] * 6]
)
def test_other_errors_and_repeated_deadlocks_are_raised(errors):
    step = EndedBy(*errors)
    with pytest.raises(OperationalError):
        past_deadlocks(step)
    assert step.errors == []


def test_a_loop_on_demand_begins_when_it_is_used():
    """A worker with a thousand threads would otherwise use up its file descriptors."""

    def threads():
        return [thread for thread in threading.enumerate() if thread.name == "sisy-on-demand"]

    loop = LoopOnDemand("sisy-on-demand")
    assert threads() == []
    for _ in range(2):
        assert asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "done"), loop).result(20)
        assert len(threads()) == 1
    loop.close(20)
    assert threads() == []
    LoopOnDemand("sisy-on-demand").close(20)
