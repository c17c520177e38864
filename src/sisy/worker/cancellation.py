"""Sees which of the runs in hand are to end: somebody wants it, or they were taken over."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sisy import conf
from sisy.database_thread import DatabaseThread
from sisy.execution import Pool
from sisy.loop import Loop
from sisy.models import Run

IDLE = 60.0

Request = Sequence[Any]
TAKEN_OVER: Request = (
    True,
    "Another worker took over this run, because this worker's lease had expired.",
    True,
)


class CancellationWatcher:
    """Looks for requests to cancel, while runs are in hand.

    The request is a flag on the row; a message on the channel layer only says that it is there.
    A run that another worker may carry out by now, since this one was silent for too long, is to
    end, too: the less of it is done twice.

    Args:
        in_hand: the runs that this worker carries out, at any time.
    """

    def __init__(self, using: str, database: DatabaseThread, in_hand: Iterable[Run]) -> None:
        self._using = using
        self._database = database
        self._in_hand = in_hand
        self._loop = Loop("Checking for cancel requests", self._look)
        self._pool: Pool | None = None

    async def obey(self, pool: Pool) -> None:
        """Have ``pool`` end what somebody wants to end, until `stop`."""
        self._pool = pool
        await self._loop.run()

    def look(self) -> None:
        """Look at once; callable from any thread."""
        self._loop.wake()

    def stop(self) -> None:
        """Look no more."""
        self._loop.stop()

    async def _look(self) -> float:
        runs = list(self._in_hand)
        if not runs or self._pool is None:
            return IDLE
        held = await self._database.run(self._held, runs)
        in_hand = {(run.pk, run.attempt) for run in self._in_hand}
        for run in runs:
            if (run.pk, run.attempt) not in in_hand:
                continue  # it has ended meanwhile
            asked_at, reason, by_force = held.get(run.pk, TAKEN_OVER)
            if asked_at is not None:
                self._pool.cancel(run.pk, reason, by_force=by_force)
        return conf.get_settings().poll_interval

    def _held(self, runs: Collection[Run]) -> dict[int, Request]:
        held = Run.objects.using(self._using).held(runs)
        rows = held.values_list("pk", "cancel_requested_at", "cancel_reason", "cancel_force")
        return {pk: request for pk, *request in rows}
