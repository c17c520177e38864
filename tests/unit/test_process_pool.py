"""The pool of child processes: what they suffer, their runs end, and the slot goes on."""

import asyncio
import os
import signal
from datetime import timedelta

import pytest

from sisy.execution import ERROR_LIMIT, RESULT_LIMIT, NotCalled, ProcessPool, ThreadPool
from sisy.execution.pool import NotReady
from sisy.models import RunState
from tests.support.moments import NOON
from tests.support.processes import is_gone
from tests.unit.functions import (
    Stray,
    apid,
    cannot_begin,
    checks,
    crashes,
    exits,
    grows,
    is_killed,
    leaves_a_thread_behind,
    never_gives_in,
    pid,
    raises_much,
    raises_what_cannot_be_pickled,
    returns_all_that_is_allowed,
    returns_much,
    sees,
    signals_itself,
    sleeps,
    spins,
    starts_a_program,
    terminates_a_program,
)
from tests.unit.runs import eventually, executed, run_of

BRIEF = timedelta(milliseconds=200)


@pytest.fixture
def pool(pool_of):
    return pool_of(ProcessPool, 2)


async def begun(folder):
    """Return the process id that a function wrote when it had begun."""
    file = folder / "begun"
    await eventually(lambda: file.exists() and file.read_text())
    return int(file.read_text())


async def result(pool, function, **options):
    outcome = await executed(pool, run_of(function, **options))
    assert (outcome.state, outcome.reason) == (RunState.SUCCEEDED, "")
    return outcome.result


async def test_runs_are_executed_in_another_process_which_is_reused(pool):
    first = await result(pool, pid)
    assert first != os.getpid()
    assert [await result(pool, fn) for fn in (pid, apid, pid)] == [first] * 3


async def test_a_function_sees_the_same_as_in_a_thread(pool):
    assert await result(pool, sees) == [
        ["message", "task"],
        {"type": "sisy.run_task", "id": 3, "run": 5, "ts": NOON.timestamp(), "attempt": 2},
        5,
        "a task",
        2,
    ]


async def test_as_many_runs_at_once_as_there_are_slots(pool, tmp_path):
    going = []
    for name in ("a", "b"):
        run = run_of(spins, pk=ord(name), userdata={"begun": str(tmp_path / name)})
        going.append(asyncio.create_task(executed(pool, run)))
    await eventually(lambda: {file.name for file in tmp_path.iterdir()} == {"a", "b"})
    for name in ("a", "b"):
        assert pool.cancel(ord(name), "enough", by_force=True)
    assert [(await task).reason for task in going] == ["enough"] * 2


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (is_killed, "Its process was killed by SIGKILL"),
        (crashes, "Its process was killed by SIGSEGV"),
        (exits, "Its process exited with code 3"),
    ],
)
async def test_a_run_whose_process_dies_is_lost_and_its_slot_is_reused(pool, function, reason):
    """Elsewhere such a run stays "running" for ever, and its slot is gone."""
    for _ in range(3):
        outcome = await executed(pool, run_of(function))
        assert (outcome.state, outcome.reason) == (RunState.LOST, reason)
        assert await result(pool, pid)


@pytest.mark.parametrize("function", [spins, never_gives_in])
async def test_a_function_that_does_not_end_is_killed_after_its_timeout(pool, function):
    outcome = await executed(pool, run_of(function, timeout=BRIEF))
    assert outcome.state == RunState.TIMED_OUT
    assert outcome.reason.startswith("RunTimedOut: ")
    assert "killed" in outcome.reason
    assert await result(pool, pid)


@pytest.mark.parametrize("function", [checks, sleeps])
async def test_a_function_that_ends_at_its_timeout_keeps_its_process(pool, function):
    before = await result(pool, pid)
    outcome = await executed(pool, run_of(function, timeout=BRIEF))
    assert outcome.state == RunState.TIMED_OUT
    assert "killed" not in outcome.reason
    assert await result(pool, pid) == before


async def test_with_force_a_run_ends_that_never_checks(pool, tmp_path):
    run = run_of(spins, userdata={"begun": str(tmp_path / "begun")})
    going = asyncio.create_task(executed(pool, run))
    child = await begun(tmp_path)
    assert pool.cancel(run.pk, "please")
    assert pool.cancel(run.pk, "now", by_force=True)
    outcome = await going
    assert (outcome.state, outcome.reason) == (RunState.CANCELLED, "now")
    await eventually(lambda: is_gone(child))
    assert await result(pool, pid) != child


@pytest.mark.parametrize("dies", [True, False])
async def test_programs_started_by_a_function_end_with_its_process(pool, tmp_path, dies):
    """Or else the next attempt would work beside it."""
    userdata = {"begun": str(tmp_path / "begun"), "dies": dies}
    going = asyncio.create_task(executed(pool, run_of(starts_a_program, userdata=userdata)))
    program = await begun(tmp_path)
    if not dies:
        assert pool.cancel(5, "now", by_force=True)
    assert (await going).state == (RunState.LOST if dies else RunState.CANCELLED)
    await eventually(lambda: is_gone(program))


async def test_a_function_can_terminate_programs_it_started(pool):
    assert await result(pool, terminates_a_program) == -signal.SIGTERM


async def test_int_and_term_that_a_terminal_sends_to_all_do_not_end_a_child(pool):
    before = await result(pool, pid)
    assert await result(pool, signals_itself) == "went on"
    assert await result(pool, pid) == before


async def test_an_outcome_that_is_too_large_is_still_recorded(pool):
    assert len(await result(pool, returns_all_that_is_allowed)) == RESULT_LIMIT - 2
    outcome = await executed(pool, run_of(returns_much))
    assert all(part in outcome.reason for part in ("not stored", "50000002", "64000"))
    outcome = await executed(pool, run_of(raises_much))
    assert (outcome.state, len(outcome.reason)) == (RunState.FAILED, 500)
    assert len(outcome.error) < ERROR_LIMIT + 10


async def test_an_error_that_cannot_be_pickled_is_still_recorded(pool):
    outcome = await executed(pool, run_of(raises_what_cannot_be_pickled))
    assert (outcome.state, outcome.reason) == (
        RunState.FAILED,
        "Contrary: <exception str() failed>",
    )
    assert await result(pool, pid)


async def test_a_run_that_cannot_be_pickled_fails_and_keeps_no_slot(pool):
    run = run_of(pid)
    run.task.stray = lambda: None
    outcome = await executed(pool, run)
    assert outcome.state == RunState.FAILED
    assert "pickle" in outcome.reason
    assert await result(pool, pid)


async def test_a_run_that_the_child_cannot_read_fails_and_keeps_no_slot(pool):
    run = run_of(pid)
    run.task.stray = Stray()
    outcome = await executed(pool, run)
    assert (outcome.state, outcome.reason) == (RunState.FAILED, "ValueError: unreadable")
    assert await result(pool, pid)


async def test_a_child_is_replaced_after_a_number_of_runs(pool_of):
    pool = pool_of(ProcessPool, 1, max_runs_per_child=2)
    pids = [await result(pool, leaves_a_thread_behind) for _ in range(6)]
    assert pids[0::2] == pids[1::2]
    assert len(set(pids)) == 3
    for child in pids[:-1:2]:
        await eventually(lambda child=child: is_gone(child) or child == pids[-1])
    pool.close()
    await eventually(lambda: is_gone(pids[-1]))


async def test_a_child_is_replaced_when_it_takes_too_much_memory(pool_of, caplog):
    pool = pool_of(ProcessPool, 1, max_memory_per_child=120)
    with caplog.at_level("INFO", logger="sisy"):
        first = await result(pool, pid)
        assert [await result(pool, pid), await result(pool, grows)] == [first, first]
        second = await result(pool, pid)
        assert second != first
        assert await result(pool, pid) == second
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"Replacing child process {first}, which uses ")


async def test_an_idle_child_that_dies_affects_no_run(pool):
    child = await result(pool, pid)
    os.kill(child, signal.SIGKILL)
    await eventually(lambda: not pool._idle[0].is_usable)  # its death is known a moment later
    assert await result(pool, pid) != child


async def test_a_closed_pool_kills_its_runs_silently(pool_of, tmp_path):
    pool = pool_of(ProcessPool, 1)
    run = run_of(spins, userdata={"begun": str(tmp_path / "begun")})
    going = asyncio.create_task(executed(pool, run))
    child = await begun(tmp_path)
    pool.close()
    await eventually(lambda: is_gone(child))
    assert not going.done()
    going.cancel()


async def test_a_child_that_cannot_start_uses_no_attempt(pool, monkeypatch):
    monkeypatch.setattr("sisy.execution.child_process.child_start.begin", cannot_begin)
    outcome = await executed(pool, run_of(pid))
    assert outcome == NotCalled(
        reason="Could not start a child process: ImportError: no such module."
    )
    with pytest.raises(NotReady, match="ImportError: no such module"):
        pool.warm_up()
    monkeypatch.undo()
    pool.warm_up()
    [child] = pool._idle
    assert await result(pool, pid) == child.pid


@pytest.mark.parametrize("make", [ProcessPool, ThreadPool])
async def test_runs_that_no_thread_can_execute_are_returned_with_their_slot(make, monkeypatch):
    """Those that wait for a slot, too."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    pool = make(1, lambda: NOON)
    with monkeypatch.context() as patched:
        patched.setattr("threading.Thread.start", refuse)
        returned = []
        for _ in range(3):
            pool.execute(run_of(pid), lambda run, outcome: returned.append(outcome))
        reason = "Could not start a thread: can't start new thread."
        assert returned == [NotCalled(reason=reason)] * 3
        with pytest.raises(NotReady, match="can't start new thread"):
            pool.warm_up()
    assert await result(pool, pid)
    pool.close()
