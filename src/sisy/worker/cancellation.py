"""Stop running runs that a user wants to cancel, or that another worker has taken over."""

import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sisy import conf
from sisy.models import Run
from sisy.runtime.loop import IDLE_POLL_INTERVAL, Loop
from sisy.store.database_thread import DatabaseThread
from sisy.worker.pool_client import PoolClient

Request = Sequence[Any]
TAKEN_OVER: Request = (
    True,
    "Another worker took over this run, because this worker's lease had expired.",
    True,
)


class CancellationWatcher:
    """Polls for cancel requests while runs are in flight.

    Args:
        in_flight: the runs that this worker has in flight; read again at each check.

    Attributes:
        loop: checks for requests.
    """

    # The request is a flag on the row. A message on the channel layer only says that a flag was
    # set, and may be lost, so the rows are polled as well.

    def __init__(
        self, using: str, database: DatabaseThread, in_flight: Iterable[Run], pool: PoolClient
    ) -> None:
        self._using = using
        self._database = database
        self._in_flight = in_flight
        self.loop = Loop("Checking for cancel requests", self._cancel_requested)
        self._pool = pool
        self._next_check = 0.0

    def watch(self) -> None:
        """Begin to check, because runs were claimed while none was in flight."""
        # Not at once: their claim has seen the requests, and most runs end before the first check.
        self._next_check = time.monotonic() + conf.get_settings().poll_interval
        self.loop.wake()

    def check(self) -> None:
        """Check now. Thread-safe."""
        self._next_check = 0.0
        self.loop.wake()

    async def _cancel_requested(self) -> float:
        runs = list(self._in_flight)
        if not runs:
            return IDLE_POLL_INTERVAL
        if (left := self._next_check - time.monotonic()) > 0:
            return left
        held = await self._database.run(self._held, runs)
        # By the object: a run that was released and claimed again has the same attempt.
        in_flight = {id(run) for run in self._in_flight}
        for run in runs:
            # The run finished, or was released, while the query was running.
            if id(run) not in in_flight:
                continue
            # A run that this worker no longer holds was rescued after the lease expired. Another
            # worker may be executing it, so stop early: the less is done twice, the better.
            asked_at, reason, by_force = held.get((run.pk, run.attempt), TAKEN_OVER)
            if asked_at is not None:
                # Only this attempt: the worker may hold a later one by now.
                self._pool.cancel(run, reason, by_force=by_force)
        interval = conf.get_settings().poll_interval
        self._next_check = time.monotonic() + interval
        return interval

    def _held(self, runs: Collection[Run]) -> dict[tuple[int, int], Request]:
        held = Run.objects.using(self._using).held(runs)
        request = "cancel_requested_at", "cancel_reason", "cancel_force"
        rows = held.values_list("pk", "attempt", *request)
        return {(pk, attempt): request for pk, attempt, *request in rows}
