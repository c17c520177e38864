"""Sees which of the runs that go on somebody wants to end, and has the pool end them."""

from collections.abc import Callable, Collection

from sisy import conf
from sisy.execution import Pool
from sisy.loop import Loop
from sisy.models import Run
from sisy.threads import DatabaseThread

IDLE = 60.0


class Requests:
    """Looks for requests to cancel, while runs are in hand.

    The request is a flag on the row; a message on the channel layer only says that it is there.

    Args:
        in_hand: returns the runs that this worker carries out.
    """

    def __init__(
        self, using: str, database: DatabaseThread, in_hand: Callable[[], Collection[Run]]
    ) -> None:
        self._using = using
        self._database = database
        self._in_hand = in_hand
        self._loop = Loop("looking for requests to cancel", self._look)
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
        runs = list(self._in_hand())
        if not runs or self._pool is None:
            return IDLE
        for pk, reason, by_force in await self._database.run(self._wanted, runs):
            self._pool.cancel(pk, reason, by_force=by_force)
        return conf.get_settings().poll_interval

    def _wanted(self, runs: Collection[Run]) -> list[tuple[int, str, bool]]:
        held = Run.objects.using(self._using).held(runs).exclude(cancel_asked_at=None)
        return list(held.values_list("pk", "cancel_reason", "cancel_by_force"))
