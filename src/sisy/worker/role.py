"""The worker: it claims runs when it has free slots, and executes them.

Its parts call each other in one direction, from the first of this list to the last:

    Draining             ends the work when the worker stops
    Claiming             claims runs and passes them to the pool
    CancellationWatcher  asks running runs to stop
    PoolClient           learns how the runs ended
    OutcomeBuffer        records the outcomes
    InFlight, Lease      what the worker has claimed, and as which process

To make the worker claim again, a part wakes the loop that claims, which belongs to the worker.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from django.db import router
from django.utils.translation import ngettext

from sisy import clock, conf
from sisy.execution import MakePool, ThreadPool
from sisy.messaging import channel_layer, doorbell
from sisy.messaging.carriers import Listener
from sisy.models import Role, Task
from sisy.models.lease import RENEWALS, Lease
from sisy.runtime.capture import capturing
from sisy.runtime.flusher import Flusher
from sisy.runtime.log import logger
from sisy.runtime.loop import Loop
from sisy.runtime.worker_options import concurrency_of, grace_of, queue_names
from sisy.store.database_thread import DatabaseThread
from sisy.worker.cancellation import CancellationWatcher
from sisy.worker.claim_loop import Claiming
from sisy.worker.claim_session import ClaimSession
from sisy.worker.missing_code import Unresolved
from sisy.worker.outcome_buffer import OutcomeBuffer
from sisy.worker.output import output_flusher
from sisy.worker.pool_client import PoolClient, Readiness
from sisy.worker.prefetch import InFlight

STOPPED = "Its worker stopped."
OUTCOME_TIMEOUT = 0.1  # seconds in which a stopping worker still accepts outcomes from its pool


class Worker:
    """Executes the runs of its queues.

    Args:
        queues: the names of the queues.
        concurrency: the maximum number of concurrent runs, 1 to 1000.
        grace: the seconds that `stop` gives runs to finish before it releases them. A worker that
            was asked to drain waits for them without limit.
        using: the alias of the database; by default the one to which the routers write tasks.
        pool: the factory of the pool that executes the runs; by default a thread pool.

    Raises:
        ValueError: an argument is invalid; the rules are those of the command line.
    """

    def __init__(
        self,
        queues: Iterable[str] = conf.DEFAULT_QUEUES,
        concurrency: int = conf.DEFAULT_CONCURRENCY,
        grace: float = conf.DEFAULT_GRACE,
        using: str | None = None,
        pool: MakePool = ThreadPool,
    ) -> None:
        self.queues = queue_names(queues)
        self.concurrency = concurrency_of(concurrency)
        self.grace = grace_of(grace)
        self.using = using or router.db_for_write(Task)
        self._make_pool = pool
        self._database = DatabaseThread("sisy-worker")
        # A thread of its own: a renewal of the lease must not wait for a long claim.
        self._lease_database = DatabaseThread("sisy-worker-lease")
        # Claims and outcomes keep two sessions of the database busy at the same time.
        self._outcome_database = DatabaseThread("sisy-worker-outcomes")
        # After an outage, the worker must renew before a heartbeat may judge its lease: see
        # `SuspensionGuard`.
        retry_within = conf.get_settings().lease_seconds / 6
        self._renewals = Loop("Renewing the lease", self._renew, longest_delay=retry_within)
        self._claims = Loop("Claiming runs", self._claim)

        self._listener: Listener | None = None

        self._lease = Lease(Role.WORKER, self.using, queues=self.queues, slots=self.concurrency)
        in_flight = InFlight(self.concurrency)
        unresolved = Unresolved()
        self._outcomes = OutcomeBuffer(
            self.using, self._outcome_database, in_flight, unresolved, self._claims
        )
        self._readiness = Readiness(self._lease, self._lease_database, self._claims)
        self._pool = PoolClient(
            self.using,
            in_flight,
            self._outcomes,
            self._lease,
            self._readiness,
            self._claims,
        )
        self._cancellation = CancellationWatcher(
            self.using, self._lease_database, in_flight, self._pool
        )
        session = ClaimSession(
            self.using, self.queues, self._lease, in_flight, self._outcomes, unresolved
        )
        self._claiming = Claiming(
            self.using,
            self._database,
            session,
            in_flight,
            self._pool,
            self._cancellation,
            self._claims,
            self._can_be_rung,
        )
        self._output = output_flusher(self.using)
        self._draining = Draining(
            self.grace, in_flight, self._pool, self._claiming, self._outcomes, self._output
        )

    async def run(self) -> None:
        """Execute runs until `stop` or a drain request, and return when they have finished."""
        with channel_layer.local_loop(), capturing():
            await self._work_until_stopped()

    async def _work_until_stopped(self) -> None:
        pool = self._make_pool(self.concurrency, partial(clock.last_known, self.using))
        pool.noted = self._output.note
        self._pool.open(pool)
        self._listener = listener = doorbell.listener(self.queues, self.wake, self._check_requests)
        loops = self._renewals, self._outcomes.loop, self._cancellation.loop
        keeping = [asyncio.create_task(loop.run()) for loop in loops]
        readying = asyncio.create_task(self._readiness.run(pool))
        listener.open()
        try:
            with doorbell.listening(self.queues, self.wake, self._check_requests):
                await self._claims.run()
            await listener.close()
            await self._draining.let_runs_finish()
        finally:
            for loop in loops:
                loop.stop()
            readying.cancel()
            await asyncio.gather(*keeping)
            await self._draining.sign_off()
            await self._database.close()
            await self._lease_database.close()
            await self._outcome_database.close()

    def stop(self) -> None:
        """Stop claiming, and give running runs ``grace`` seconds to finish. Thread-safe.

        A second call releases them now.
        """
        self._draining.stop()
        self._claims.stop()

    @property
    def is_stopping(self) -> bool:
        """Return whether the worker claims no more runs: it was stopped or asked to drain."""
        return self._claims.is_stopping

    def _can_be_rung(self) -> bool:
        return self._listener is not None and self._listener.is_live

    def wake(self) -> None:
        """Look for queued runs now. Thread-safe."""
        self._claims.wake()

    def _check_requests(self) -> None:
        """Check for cancel and drain requests now."""
        self._cancellation.check()
        self._renewals.wake()

    async def _claim(self) -> float:
        return await self._claiming.step()

    async def _renew(self) -> float:
        """Renew the lease, and stop if a user wants the worker to drain."""
        process = await self._lease_database.run(self._lease.renew)
        if not self.is_stopping and process.drain_requested_at is not None:
            logger.info("Drain requested; stopping when all current runs finish")
            self._claims.stop()
        return conf.get_settings().lease_seconds / RENEWALS


class Draining:
    """Ends the work of a worker that claims no more runs.

    Args:
        grace: the seconds that runs have to finish after `stop`.
    """

    def __init__(
        self,
        grace: float,
        in_flight: InFlight,
        pool: PoolClient,
        claiming: Claiming,
        outcomes: OutcomeBuffer,
        output: Flusher,
    ) -> None:
        self._grace = grace
        self._in_flight = in_flight
        self._pool = pool
        self._claiming = claiming
        self._outcomes = outcomes
        self._output = output
        self._stops = 0
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Limit how long to wait for runs to finish; a second call ends that wait. Thread-safe."""
        self._stops += 1
        # A loop that is closed by now has nothing left to stop.
        with suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._pass_on_stops)

    def _pass_on_stops(self) -> None:
        for event in (self._stop, self._hurry)[: self._stops]:
            event.set()

    async def let_runs_finish(self) -> None:
        """Release the runs that have not started, and wait for the others to finish.

        Without a limit: a process that must end soon gets a signal, which calls `stop`.
        """
        if not_started := self._pool.withdraw_all():
            try:
                await self._claiming.release(not_started, STOPPED)
            except Exception as error:  # noqa: BLE001 - running runs must not be cut off
                # The claims are in doubt until `sign_off`, which releases these runs.
                logger.warning("Could not release runs (%s); retrying at the end", error)
        self._loop = asyncio.get_running_loop()
        self._pass_on_stops()
        await self._wait_until_empty_or(self._stop, None)
        if not self._in_flight:
            return
        count = ngettext("%d run", "%d runs", len(self._in_flight)) % len(self._in_flight)
        logger.info("Stopping: waiting up to %g s for %s to finish", self._grace, count)
        await self._wait_until_empty_or(self._hurry, self._grace)

    async def _wait_until_empty_or(self, event: asyncio.Event, seconds: float | None) -> None:
        ends = (event.wait(), self._in_flight.wait_until_empty())
        waits = [asyncio.create_task(end) for end in ends]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def sign_off(self) -> None:
        """Record what has ended, release what is still running, and unregister."""
        not_called = self._pool.withdraw_all()
        # Cancel what can be cancelled first, so that it has ended before other workers start it.
        self._pool.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(OUTCOME_TIMEOUT):
                await self._in_flight.wait_until_empty()
        # While the runs still belong to this worker.
        self._output.close()
        # By the attempt: a worker that was frozen may hold a run twice, and the two are equal.
        withdrawn = {(run.pk, run.attempt) for run in not_called}
        abandoned = [run for run in self._in_flight if (run.pk, run.attempt) not in withdrawn]
        for run in abandoned:
            self._in_flight.drop(run)
        try:
            # First: only this worker can record them, whereas the others would be rescued.
            await self._outcomes.flush()
            if not_called:
                await self._claiming.release(not_called, STOPPED)
            await self._claiming.end(abandoned)
        except Exception as error:  # noqa: BLE001 - the worker ends, and its lease expires
            logger.warning("Could not unregister (%s); the lease will expire", error)
