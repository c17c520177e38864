"""What a function may know about its own run."""

import asyncio
import threading
from datetime import timedelta

import pytest

import sisy
from sisy.exceptions import NoCurrentRun, RunCancelled, RunTimedOut
from sisy.execution import ThreadPool, message_for
from sisy.models import RunState
from sisy.runtime.current import CurrentRun
from tests.support.moments import NOON
from tests.unit.runs import executed, run_of_path

FAR = timedelta(hours=1)

seen = []


def sees(message):
    seen.append((message, sisy.current_run(), threading.current_thread().name))


async def asees(message):
    seen.append((message, sisy.current_run(), threading.current_thread().name))


def checks(message):
    sisy.current_run().check()
    return "in time"


@pytest.fixture
def pool(pool_of):
    return pool_of(ThreadPool, 2)


@pytest.fixture(autouse=True)
def nothing_seen():
    seen.clear()


def run_of(function, **columns):
    return run_of_path(f"{__name__}.{function}", **columns)


async def test_a_synchronous_function_that_checks_too_late_is_timed_out(pool):
    outcome = await executed(pool, run_of("checks", timeout=timedelta(0)))
    assert outcome.state == RunState.TIMED_OUT
    assert outcome.reason.startswith("RunTimedOut: ")
    for timeout in (FAR, None):
        assert (await executed(pool, run_of("checks", timeout=timeout))).result == "in time"


def current(started, timeout):
    return CurrentRun(id=5, label="", due_at=None, attempt=1, started=started, timeout=timeout)


def test_a_check_compares_the_elapsed_time_with_the_timeout(monkeypatch):
    monkeypatch.setattr(sisy.runtime.current.time, "monotonic", lambda: 100.0)
    current(started=90.0, timeout=timedelta(seconds=10)).check()
    current(started=0.0, timeout=None).check()
    with pytest.raises(RunTimedOut) as caught:
        current(started=89.9, timeout=timedelta(seconds=10)).check()
    assert all(part in str(caught.value) for part in ("timeout of 10 s", "10.10 s"))


def test_a_check_ends_a_run_that_was_asked_to_end_whatever_its_time():
    now = current(started=0.0, timeout=timedelta(seconds=1))
    now.cancellation.ask("no longer of use")
    with pytest.raises(RunCancelled, match="no longer of use"):
        now.check()


def test_outside_of_a_run_there_is_no_current_one():
    with pytest.raises(NoCurrentRun, match=r"current_run\(\)"):
        sisy.current_run()


@pytest.mark.parametrize("function", ["sees", "asees"])
async def test_a_function_sees_its_own_run_and_no_other(pool, function):
    runs = [run_of(function, pk=pk, timeout=FAR) for pk in range(1, 6)]
    await asyncio.gather(*(executed(pool, run) for run in runs))
    assert sorted(current.id for _, current, _ in seen) == [1, 2, 3, 4, 5]
    for message, current, _ in seen:
        assert message["message"]["run"] == current.id
        assert (current.label, current.due_at, current.attempt) == ("a task", NOON, 2)
        assert current.timeout == FAR
    with pytest.raises(NoCurrentRun):
        sisy.current_run()


async def test_synchronous_functions_run_in_threads_and_async_ones_on_a_loop(pool):
    await executed(pool, run_of("sees"))
    await executed(pool, run_of("asees"))
    threads = [thread for *_, thread in seen]
    assert threads[0].startswith("sisy-run-0")
    assert threads[1] == "sisy-run-async"


def test_a_message_contains_the_task_and_the_consumers_message():
    run = run_of("returns")
    message = message_for(run)
    assert message == {
        "task": run.task,
        "message": {
            "type": "sisy.run_task",
            "id": 3,
            "run": 5,
            "ts": NOON.timestamp(),
            "attempt": 2,
        },
    }
    assert message["task"] is not run.task  # the function may do anything to it


async def test_a_run_of_a_deleted_task_is_executed_without_it(pool):
    run = run_of("sees")
    run.task = None
    assert (await executed(pool, run)).state == RunState.SUCCEEDED
    [(message, *_)] = seen
    assert (message["task"], message["message"]["id"]) == (None, None)


async def test_the_message_of_a_backfill_names_its_occurrence(pool):
    run = run_of("sees", due_at=None, ready_at=NOON + FAR, occurrence_at=NOON - FAR)
    assert (await executed(pool, run)).state == RunState.SUCCEEDED
    [(message, now, _)] = seen
    assert now.due_at == NOON - FAR
    assert message["message"]["ts"] == (NOON - FAR).timestamp()
