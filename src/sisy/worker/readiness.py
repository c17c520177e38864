"""Test a worker's pool until it can start functions again, and report the problem meanwhile.

A worker that cannot start a child process or a thread must not claim runs: it could only release
them, while another worker would have started them at once. So it tests the pool without a run, at
growing intervals, and claims again once that works. Meanwhile, its process row names the problem.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from sisy.execution import Pool
from sisy.runtime.loop import Loop
from sisy.runtime.threads import DaemonThreads

FIRST_PAUSE = 0.5  # seconds
LONGEST_PAUSE = 30.0
IDLE = 60.0

Report = Callable[[str], Awaitable[None]]
"""Stores the problem of a worker; an empty text means that there is none."""


class Readiness:
    """The readiness of a worker's pool.

    Args:
        report: stores the problem on the worker's row.
        recovered: called when the worker may claim runs again.
    """

    def __init__(self, report: Report, recovered: Callable[[], None]) -> None:
        self._report = report
        self._recovered = recovered
        self._problem = ""
        self._reported = ""
        self._failures = 0
        self._next_try = 0.0
        # A thread of its own, so that a stopping worker does not wait for a test that hangs.
        self._thread = DaemonThreads(1, "sisy-warm-up")
        self._loop = Loop("Checking the pool", self._step)

    async def run(self, pool: Pool) -> None:
        """Test the pool whenever it has failed. Runs until cancelled."""
        self._pool = pool
        try:
            await self._loop.run()
        finally:
            self._thread.shutdown(wait=False)

    @property
    def is_ready(self) -> bool:
        """Return whether the worker may claim runs."""
        return not self._problem

    def failed(self, problem: str) -> None:
        """Note that the pool could not start a function."""
        # One problem usually fails all runs in flight. Count it once.
        if self.is_ready:
            self._pause(problem)
            self._loop.wake()

    def worked(self) -> None:
        """Note that the pool started a function. The next failure then counts as the first."""
        self._failures = 0

    async def _step(self) -> float:
        """Test the pool if it is time, and report the problem if it has changed."""
        pause = self._next_try - time.monotonic()
        if self._problem and pause <= 0:
            await self._try()
            pause = self._next_try - time.monotonic()
        if self._reported != self._problem:
            # The problem may change during the await, so remember which one was reported.
            reported = self._problem
            await self._report(reported)
            self._reported = reported
        return pause if self._problem else IDLE

    async def _try(self) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._pool.warm_up)
        except Exception as error:  # noqa: BLE001 - whatever it is, the pool cannot start functions
            self._pause(f"{error}.")
        else:
            self._problem = ""
            self._recovered()

    def _pause(self, problem: str) -> None:
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures, 10))
        # Jitter, so that the workers of a host do not all try in the same moment.
        self._next_try = time.monotonic() + pause * random.uniform(0.5, 1)
        self._failures += 1
        self._problem = problem
