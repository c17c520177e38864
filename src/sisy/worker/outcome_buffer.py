"""Collects how runs ended, and has it written down: many at a time, a lone one at once."""

import asyncio
from collections.abc import Callable, Sized

from sisy import clock
from sisy.database_thread import DatabaseThread
from sisy.execution import Outcome
from sisy.loop import Loop
from sisy.models import Run
from sisy.worker.ending import Ended
from sisy.worker.recording import record

FLUSH_BATCH = 500
FLUSH_INTERVAL = 0.005  # seconds in which further runs may end, to be recorded with the first one
IDLE = 60.0


class OutcomeBuffer:
    """Records outcomes as soon as there are many, nothing goes on, or a few milliseconds passed.

    Args:
        database: the thread in which it does so.
        going: what still goes on.
        recorded: called with what was recorded.
    """

    def __init__(
        self, using: str, database: DatabaseThread, going: Sized, recorded: Callable[[Ended], None]
    ) -> None:
        self._using = using
        self._database = database
        self._going = going
        self._recorded = recorded
        self._ended: list[tuple[Run, Outcome]] = []
        self._loop = Loop("Recording outcomes", self._record)

    async def run(self) -> None:
        """Record what comes, until `stop`."""
        await self._loop.run()

    def stop(self) -> None:
        """Record no more by itself; see `flush`."""
        self._loop.stop()

    def add(self, ended: Ended) -> None:
        """Have it written down how these runs ended."""
        self._ended += ended
        self._loop.wake()

    @property
    def unrecorded(self) -> set[int]:
        """The keys of the runs that have ended, which the database does not know yet."""
        return {run.pk for run, _ in list(self._ended)}

    async def flush(self) -> None:
        """Record all that has ended.

        Raises:
            DatabaseError: it could not be; it is kept, and may be tried again.
        """
        while self._ended:
            ended = self._ended[:FLUSH_BATCH]
            await self._database.run(self._record_here, ended)
            del self._ended[: len(ended)]
            self._recorded(ended)

    async def _record(self) -> float:
        if self._ended:
            if len(self._going) and len(self._ended) < FLUSH_BATCH:
                await asyncio.sleep(FLUSH_INTERVAL)
            await self.flush()
        return IDLE

    def _record_here(self, ended: Ended) -> None:
        record(self._using, ended, clock.now(self._using))
