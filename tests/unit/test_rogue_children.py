"""Child processes that cannot tell their worker how a run ended: none keeps its slot."""

import os
import signal
from datetime import timedelta

import pytest

from sisy.execution import NotCalled, ProcessPool, child_process, run_deadline
from sisy.models import RunState
from tests.unit import rogue_functions as rogue
from tests.unit.functions import pid
from tests.unit.runs import eventually, executed, run_of

EXIT_CANNOT_REPORT = (
    "Its process lost the connection to its worker and could not report the result"
)
WROTE = "Its process wrote invalid data to the pipe to its worker"
BRIEF = timedelta(milliseconds=200)


@pytest.fixture
def pool(pool_of):
    return pool_of(ProcessPool, 1)


async def goes_on(pool):
    """Return the process that carries out the next run: its slot is free."""
    outcome = await executed(pool, run_of(pid))
    assert outcome.state == RunState.SUCCEEDED
    return outcome.result


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (rogue.closes_all_files, EXIT_CANNOT_REPORT),
        (rogue.closes_twice, EXIT_CANNOT_REPORT),
        (rogue.writes_to_all_sockets, WROTE),
    ],
)
async def test_a_child_that_has_lost_its_pipe_ends_and_its_run_is_lost(pool, function, reason):
    for _ in range(2):
        outcome = await executed(pool, run_of(function))
        assert (outcome.state, outcome.reason) == (RunState.LOST, reason)
        assert await goes_on(pool)


async def test_a_childs_report_goes_into_no_other_file(pool, tmp_path):
    file = tmp_path / "log"
    run = run_of(rogue.closes_all_files_and_opens_others, userdata={"file": str(file)})
    outcome = await executed(pool, run)
    assert (outcome.state, outcome.reason) == (RunState.LOST, EXIT_CANNOT_REPORT)
    assert file.read_bytes() == b""


@pytest.mark.parametrize("function", [rogue.writes_the_beginning_of_a_word, rogue.stops_itself])
async def test_a_child_that_hangs_in_a_report_is_killed_at_its_timeout(pool, function):
    outcome = await executed(pool, run_of(function, timeout=BRIEF))
    assert outcome.state == RunState.TIMED_OUT
    assert await goes_on(pool)


async def test_a_copy_that_a_function_has_forked_reports_nothing(pool):
    for _ in range(2):
        outcome = await executed(pool, run_of(rogue.returns_twice))
        assert (outcome.state, outcome.result) == (RunState.SUCCEEDED, "parent")
    before = await goes_on(pool)
    assert await goes_on(pool) == before


@pytest.mark.parametrize("size", [1, 1_000_000])
async def test_a_run_that_a_child_does_not_accept_uses_no_attempt(pool, monkeypatch, size):
    """A large run does not even fit into the pipe of a child that reads nothing."""
    monkeypatch.setattr(run_deadline, "ACCEPT_TIMEOUT", 0.5)
    child = await goes_on(pool)
    os.kill(child, signal.SIGSTOP)
    outcome = await executed(pool, run_of(pid, userdata={"text": "x" * size}))
    assert isinstance(outcome, NotCalled)
    assert "0.5 s" in outcome.reason
    assert await goes_on(pool) != child


async def test_a_run_that_a_dead_child_never_accepted_uses_no_attempt(pool, monkeypatch):
    child = await goes_on(pool)
    monkeypatch.setattr(
        child_process.ChildProcess, "is_usable", True
    )  # it dies just after it was looked at
    os.kill(child, signal.SIGKILL)
    await eventually(lambda: pool._idle[0].has_ended())
    outcome = await executed(pool, run_of(pid))
    assert isinstance(outcome, NotCalled)
    assert "SIGKILL" in outcome.reason


async def test_the_time_of_a_run_begins_when_its_child_takes_it(pool, monkeypatch):
    """Else a run would be timed out whose function had no time at all."""
    child = await goes_on(pool)
    os.kill(child, signal.SIGSTOP)
    waits = child_process.connection.wait

    def wait(objects, timeout=None):
        """Let the child go on once the worker has waited for longer than the run may take."""
        ready = waits(objects, timeout)
        if not ready:
            os.kill(child, signal.SIGCONT)
        return ready

    monkeypatch.setattr(child_process.connection, "wait", wait)
    outcome = await executed(pool, run_of(pid, timeout=BRIEF))
    assert (outcome.state, outcome.result) == (RunState.SUCCEEDED, child)
