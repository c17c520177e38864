"""Runs that are not in any database, and what pools make of them."""

import asyncio
from concurrent.futures import Future
from datetime import timedelta

from sisy.models import Run, Task
from tests.support.moments import NOON

FAR = timedelta(hours=1)
SOON = timedelta(milliseconds=20)
WAIT_TIMEOUT = 60  # seconds; the machine may be busy


async def executed(pool, run):
    """Return the outcome of ``run``; one that does not end is a failure of the test."""
    ended = Future()
    pool.execute(run, lambda run, outcome: ended.set_result(outcome))
    async with asyncio.timeout(WAIT_TIMEOUT):
        return await asyncio.wrap_future(ended)


async def eventually(condition):
    """Wait until ``condition`` is true of something."""
    async with asyncio.timeout(WAIT_TIMEOUT):
        while not condition():
            await asyncio.sleep(0.005)


def by_name(function):
    """Return the id of a parameter that is a function."""
    return function.__name__


def run_of(function, **columns):
    """Return a run of a function."""
    return run_of_path(f"{function.__module__}.{function.__qualname__}", **columns)


def run_of_path(path, timeout=None, userdata=None, **columns):
    """Return a run of the function at a dotted path, which need not exist."""
    task = Task(pk=3, label="a task", timeout=timeout, userdata=userdata or {})
    given = {"pk": 5, "attempt": 2, "due_at": NOON, "ready_at": NOON, **columns}
    return Run(task=task, label="a task", target_path=path, **given)
