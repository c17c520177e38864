"""The readiness of a worker's pool to call functions, and the retries if it is not ready.

A worker that cannot start a child process, or a thread, must take no runs: it could only release
them, and another worker would have started them at once. So it tries without a run, later and
later, and takes runs again when it succeeds. Its process row says meanwhile what it cannot do.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from sisy.execution import Pool
from sisy.loop import Loop
from sisy.threads import DaemonThreads

FIRST_PAUSE = 0.5  # seconds
LONGEST_PAUSE = 30.0
IDLE = 60.0

Report = Callable[[str], Awaitable[None]]
"""Stores what a worker cannot do; an empty text if there is no problem."""


class Readiness:
    """The readiness of a worker's pool.

    Args:
        report: stores the problem, where people look.
        recovered: called when the worker may take runs again.
    """

    def __init__(self, report: Report, recovered: Callable[[], None]) -> None:
        self._report = report
        self._recovered = recovered
        self._problem = ""
        self._reported = ""
        self._failures = 0
        self._next_try = 0.0
        # A thread of its own, which a stopping worker need not wait for.
        self._thread = DaemonThreads(1, "sisy-warm-up")
        self._loop = Loop("Checking the pool", self._step)

    async def run(self, pool: Pool) -> None:
        """Try again whenever it failed; cancel this to end it."""
        self._pool = pool
        try:
            await self._loop.run()
        finally:
            self._thread.shutdown(wait=False)

    @property
    def is_ready(self) -> bool:
        """Return whether the worker may take runs."""
        return not self._problem

    def failed(self, problem: str) -> None:
        """Note that the pool could not call a function; the others that it had in hand, too."""
        if self.is_ready:
            self._pause(problem)
            self._loop.wake()

    def worked(self) -> None:
        """Note that the pool called a function: the next failure is the first of its kind."""
        self._failures = 0

    async def _step(self) -> float:
        """Try again if it is time, and keep what is reported up to date."""
        pause = self._next_try - time.monotonic()
        if self._problem and pause <= 0:
            await self._try()
            pause = self._next_try - time.monotonic()
        if self._reported != self._problem:
            reported = self._problem
            await self._report(reported)
            self._reported = reported
        return pause if self._problem else IDLE

    async def _try(self) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._pool.warm_up)
        except Exception as error:  # noqa: BLE001 - whatever it is, no function can be called
            self._pause(f"{error}.")
        else:
            self._problem = ""
            self._recovered()

    def _pause(self, problem: str) -> None:
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures, 10))
        self._next_try = time.monotonic() + pause * random.uniform(0.5, 1)
        self._failures += 1
        self._problem = problem
