"""Stop a worker: let its runs finish, and release the others to other workers."""

import asyncio
from contextlib import suppress

from django.utils.translation import ngettext

from sisy.runtime.log import logger
from sisy.worker.claim_session import Claiming
from sisy.worker.outcome_buffer import OutcomeBuffer
from sisy.worker.pool_client import PoolClient
from sisy.worker.prefetch import InFlight

OUTCOME_TIMEOUT = 0.1  # seconds in which a stopping worker still accepts outcomes from its pool


class Draining:
    """Ends the work of a worker that claims no more runs.

    Args:
        grace: the seconds that runs have to finish.
    """

    def __init__(
        self,
        grace: float,
        in_flight: InFlight,
        pool: PoolClient,
        claiming: Claiming,
        outcomes: OutcomeBuffer,
    ) -> None:
        self._grace = grace
        self._in_flight = in_flight
        self._pool = pool
        self._claiming = claiming
        self._outcomes = outcomes
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Do not wait any longer for runs to finish."""
        self._hurry.set()

    async def let_runs_finish(self) -> None:
        """Release the runs that have not started, and give the others ``grace`` seconds."""
        if not_started := self._pool.withdraw(self._in_flight):
            await self._claiming.release(not_started, "Its worker stopped.")
        if not self._in_flight:
            return
        count = ngettext("%d run", "%d runs", len(self._in_flight)) % len(self._in_flight)
        logger.info("Stopping: waiting up to %g s for %s to finish", self._grace, count)
        ends = (self._hurry.wait(), self._in_flight.wait_until_empty())
        waits = [asyncio.create_task(end) for end in ends]
        await asyncio.wait(waits, timeout=self._grace, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def sign_off(self) -> None:
        """Record what has ended, release what is still running, and unregister."""
        # Cancel what can be cancelled first, so that it has ended before other workers start it.
        self._pool.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(OUTCOME_TIMEOUT):
                await self._in_flight.wait_until_empty()
        abandoned = list(self._in_flight)
        for run in abandoned:
            self._in_flight.drop(run)
        try:
            await self._outcomes.flush()
            await self._claiming.end(abandoned)
        except Exception as error:  # noqa: BLE001 - the worker ends, and its lease expires
            logger.warning("Could not unregister (%s); the lease will expire", error)
