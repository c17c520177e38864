"""Collect the outcomes of a worker's runs, and record them in batches."""

import asyncio
from collections.abc import Sized

from sisy import clock
from sisy.execution import Outcome
from sisy.messaging import doorbell
from sisy.models import Run
from sisy.runtime.loop import IDLE_POLL_INTERVAL, Loop
from sisy.store.database_thread import DatabaseThread
from sisy.store.outcomes import Ended
from sisy.worker.missing_code import Unresolved
from sisy.worker.record import record

FLUSH_BATCH = 500
FLUSH_INTERVAL = 0.005  # seconds to wait for more outcomes to record in the same transaction


class OutcomeBuffer:
    """Records outcomes when a batch is full, no run is in flight, or a few milliseconds passed.

    Args:
        database: the thread in which to record.
        in_flight: the runs in flight; only their number is used.
        unresolved: notes the functions that could not be found.
        claims: the loop that claims runs. A recorded run may have blocked others of its task.

    Attributes:
        loop: records outcomes. Call `flush` after it has ended, to record those that are left.
    """

    def __init__(
        self,
        using: str,
        database: DatabaseThread,
        in_flight: Sized,
        unresolved: Unresolved,
        claims: Loop,
    ) -> None:
        self._using = using
        self._database = database
        self._in_flight = in_flight
        self._unresolved = unresolved
        self._claims = claims
        self._ended: list[tuple[Run, Outcome]] = []
        self.loop = Loop("Recording outcomes", self._record)

    def add(self, ended: Ended[Run]) -> None:
        """Add outcomes to record soon."""
        self._ended += ended
        self.loop.wake()

    @property
    def unrecorded(self) -> set[tuple[int, int]]:
        """The key and the attempt of each run that has finished but is not recorded yet."""
        return {(run.pk, run.attempt) for run, _ in list(self._ended)}

    async def flush(self) -> None:
        """Record all outcomes.

        Raises:
            DatabaseError: recording failed. The outcomes are kept; call again to retry.
        """
        # Remove a batch only once it is stored. More outcomes may be added in the meantime.
        while self._ended:
            ended = self._ended[:FLUSH_BATCH]
            await self._database.run(self._record_here, ended)
            del self._ended[: len(ended)]
            if released := self._unresolved.note(ended):
                doorbell.ring(released)
            self._claims.wake()

    async def _record(self) -> float:
        if self._ended:
            # Only other running runs can add outcomes. If there are none, waiting gains nothing.
            if len(self._in_flight) and len(self._ended) < FLUSH_BATCH:
                await asyncio.sleep(FLUSH_INTERVAL)
            await self.flush()
        return IDLE_POLL_INTERVAL

    def _record_here(self, ended: Ended[Run]) -> None:
        record(self._using, ended, clock.now(self._using))
