"""The worker's side of its pool: whether the pool is ready, and what it reports."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterable

from sisy.execution import NotCalled, Outcome, Pool
from sisy.models import Run, RunState
from sisy.models.lease import Lease
from sisy.runtime.log import logger
from sisy.runtime.loop import IDLE_POLL_INTERVAL, Inbox, Loop
from sisy.runtime.threads import DaemonThreads
from sisy.store.database_thread import DatabaseThread
from sisy.worker.early_claim import StartTimers
from sisy.worker.outcome_buffer import OutcomeBuffer
from sisy.worker.prefetch import InFlight

BUSY = "Its worker was busy with longer runs."
SET_BACK = "The clock was set back, so it is not ready yet."
NOT_CALLED_YET = "It was asked to stop before its function was called."
FIRST_RETRY_DELAY = 0.5  # seconds
MAX_RETRY_DELAY = 30.0

PoolAnswer = Outcome | NotCalled | None


class Readiness:
    """The readiness of a worker's pool, which is stored on the worker's row.

    Args:
        database: the thread in which to store it.
        claims: the loop that claims runs, once the pool is ready again.
    """

    def __init__(self, lease: Lease, database: DatabaseThread, claims: Loop) -> None:
        self._lease = lease
        self._database = database
        self._claims = claims
        self._problem = ""
        self._reported = ""
        self._failures = 0
        self._next_try = 0.0
        # A thread of its own, so that a stopping worker does not wait for a test that hangs.
        self._thread = DaemonThreads("sisy-warm-up", size=1)
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
        """Record that the pool could not start a function."""
        # One problem usually fails all runs in flight. Count it once.
        if self.is_ready:
            self._back_off(problem)
            self._loop.wake()

    def worked(self) -> None:
        """Record that the pool started a function. The next failure then counts as the first."""
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
            await self._database.run(self._report, reported)
            self._reported = reported
        return pause if self._problem else IDLE_POLL_INTERVAL

    async def _try(self) -> None:
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._pool.warm_up)
        except Exception as error:  # noqa: BLE001 - whatever it is, the pool cannot start functions
            self._back_off(f"{error}.")
        else:
            self._problem = ""
            self._claims.wake()

    def _report(self, problem: str) -> None:
        process = self._lease.process()
        if not problem:
            logger.info("%s claims runs again", process)
        elif not process.problem:
            logger.error("%s claims no runs: %s", process, problem)
        self._lease.note_problem(problem)

    def _back_off(self, problem: str) -> None:
        pause = min(MAX_RETRY_DELAY, FIRST_RETRY_DELAY * 2.0 ** min(self._failures, 10))
        # Jitter, so that the workers of a host do not all try in the same moment.
        self._next_try = time.monotonic() + pause * random.uniform(0.5, 1)
        self._failures += 1
        self._problem = problem


class PoolClient:
    """Passes runs to the pool. Finished runs go to ``outcomes``, the others are ``returned``.

    Args:
        claims: the loop that releases the returned runs, and claims more.

    Attributes:
        readiness: whether the pool can start functions.
        returned: the runs that the pool did not call and that must be released, by reason.
    """

    def __init__(
        self,
        using: str,
        in_flight: InFlight,
        outcomes: OutcomeBuffer,
        lease: Lease,
        readiness: Readiness,
        claims: Loop,
    ) -> None:
        self._in_flight = in_flight
        self._outcomes = outcomes
        self._lease = lease
        self.readiness = readiness
        self._claims = claims
        self._timers = StartTimers(using, self._call, self._give_back)
        self._is_closed = False
        self.returned: defaultdict[str, list[Run]] = defaultdict(list)

    def open(self, pool: Pool) -> None:
        """Use ``pool`` from now on. Call in the worker's event loop."""
        self._pool = pool
        self._inbox = Inbox(asyncio.get_running_loop(), self._take)

    def execute(self, run: Run) -> None:
        """Pass a run to the pool as soon as it is ready."""
        self._timers.call_at_its_moment(run)

    def _call(self, run: Run) -> None:
        self._in_flight.note_ready(run)
        try:
            self._pool.execute(run, self._receive, self._lease.surely_holds)
        except Exception as error:  # noqa: BLE001 - the border around the pool
            # Report it as not called, so that its slot is freed.
            logger.exception("Could not execute run %s; releasing it", run.pk)
            self._receive(run, NotCalled(reason=f"Its worker could not execute it: {error!r}."))

    def _give_back(self, run: Run) -> None:
        self.returned[SET_BACK].append(run)
        self._claims.wake()

    def withdraw_all(self) -> list[Run]:
        """Return all runs whose functions were not called. They will not be."""
        returned = [run for runs in self.returned.values() for run in runs]
        self.returned.clear()
        return returned + self.withdraw(self._in_flight)

    def withdraw(self, runs: Iterable[Run]) -> list[Run]:
        """Return those runs whose functions were not called. They will not be."""
        listed = list(runs)
        early = self._timers.withdraw(listed)
        # Only these attempts: the worker may hold a later one of a run that was lost.
        return early + [run for run in listed if self._pool.withdraw(run.pk, attempt=run.attempt)]

    def cancel(self, run: Run, reason: str, *, by_force: bool) -> None:
        """Ask this attempt of a run to stop. One that is not called yet is returned."""
        if early := self._timers.withdraw([run]):
            self.returned[NOT_CALLED_YET] += early
            self._claims.wake()
        self._pool.cancel(run.pk, reason, by_force=by_force, attempt=run.attempt)

    def close(self) -> None:
        """Cancel what can be cancelled. Runs that are cancelled from here on stay in flight."""
        self._is_closed = True
        self._pool.close()

    def _receive(self, run: Run, outcome: PoolAnswer) -> None:
        self._inbox.put((run, outcome))

    def _take(self, answers: list[tuple[Run, PoolAnswer]]) -> None:
        ended = [(run, outcome) for run, outcome in answers if isinstance(outcome, Outcome)]
        if ended:
            self.readiness.worked()
        for run, outcome in answers:
            if outcome is None:
                self.returned[BUSY].append(run)
            elif isinstance(outcome, NotCalled):
                self.returned[outcome.reason].append(run)
                self.readiness.failed(outcome.reason)
        # While the worker stops, it cancels what is still running. Such a run is handed over to
        # other workers, and must not be recorded as cancelled.
        if self._is_closed:
            ended = [one for one in ended if one[1].state != RunState.CANCELLED]
        self._outcomes.add([one for one in ended if self._in_flight.drop(*one)])
        if self.returned or self._in_flight.needs_refill:
            self._claims.wake()
