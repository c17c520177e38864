"""The loop in which a worker claims runs when it has free slots, and passes them to its pool."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime

from sisy import clock, conf
from sisy.messaging import doorbell
from sisy.models import Run
from sisy.runtime.loop import IDLE_POLL_INTERVAL, RENEWAL_IN_DOUBT, Loop
from sisy.store.database_thread import DatabaseThread
from sisy.worker.cancellation import CancellationWatcher
from sisy.worker.claim_session import ClaimSession
from sisy.worker.outlook import LOOK_INTERVAL
from sisy.worker.pool_client import BUSY, PoolClient
from sisy.worker.prefetch import PREFETCH_TIMEOUT, InFlight

SECOND_OFFSET = 0.05  # seconds that a heartbeat has to plan what is due
POLL_JITTER = 0.05
# Times as long between two polls of a worker that can be rung: by default, just under two seconds.
SLOW_POLLS = 1.8, 1.9
# Seconds between two rings of a full worker. A ring costs as much as a short run.
RING_INTERVAL = 0.1


class Claiming:
    """Claims runs for a worker, and releases those that do not start.

    Args:
        loop: calls `step`.
        can_be_rung: returns whether rings of other processes arrive, as far as is known.
    """

    def __init__(
        self,
        using: str,
        database: DatabaseThread,
        session: ClaimSession,
        in_flight: InFlight,
        pool: PoolClient,
        cancellation: CancellationWatcher,
        loop: Loop,
        can_be_rung: Callable[[], bool],
    ) -> None:
        self._using = using
        self._database = database
        self._session = session
        self._in_flight = in_flight
        self._pool = pool
        self._cancellation = cancellation
        self._loop = loop
        self._can_be_rung = can_be_rung
        self._rang_at = 0.0

    async def release(self, runs: list[Run], reason: str) -> None:
        """Let other workers have runs that have not started."""
        for run in runs:
            self._in_flight.drop(run)
        await self._database.run(self._session.release, runs, reason)
        doorbell.ring(runs)

    async def end(self, abandoned: list[Run]) -> None:
        """Let other workers have the runs that are still running, and unregister."""
        await self._database.run(self._session.end, abandoned)

    async def step(self) -> float:
        """Release and claim runs once. Return the seconds until the next step."""
        await self._release_returned()
        if not self._pool.readiness.is_ready:
            await self._database.run(self._session.release_unconfirmed)
            return IDLE_POLL_INTERVAL
        room = self._in_flight.room_at(clock.last_known(self._using))
        won = await self._claim(room) if room else 0
        if not room and self._loop.was_woken:
            self._session.outlook.note_ring()
        self._in_flight.may_have_more = won == room
        await self._look(won, room)
        if await self._claim_early():
            await self._look(0, room)
        wait = self._seconds_to_next_step(room - won)
        return min(PREFETCH_TIMEOUT, wait) if self._in_flight.exceeds_slots else wait

    async def _claim(self, room: int) -> int:
        """Claim runs that are ready, and pass them to the pool. Return how many."""
        was_rung_for = self._loop.was_woken
        runs = await self._database.run(self._session.claim, room, was_rung_for=was_rung_for)
        self._take(runs, room)
        return len(runs)

    async def _look(self, won: int, room: int) -> None:
        """Find out when the next run becomes ready, if it is time to."""
        # After the runs are passed to the pool, so that they do not wait for it.
        if won < room and self._session.outlook.is_look_due(has_won=won > 0):
            await self._database.run(self._session.outlook.look_again)

    async def _claim_early(self) -> bool:
        """Claim runs that become ready in a moment, if a slot is free for them."""
        room, now = self._in_flight.early_room, clock.last_known(self._using)
        next_claim = self._session.next_claim(now, may_be_early=True)
        if not room or self._loop.is_stopping or next_claim is None or next_claim > now:
            return False
        if self._session.outlook.is_ready(now):
            return False  # the next step claims it
        runs = await self._database.run(self._session.claim_early, room)
        self._session.outlook.note_ring()
        self._take(runs, room, is_early=True)
        return True

    def _take(self, runs: Sequence[Run], room: int, *, is_early: bool = False) -> None:
        # The watcher sleeps while no run is in flight.
        if runs and not self._in_flight:
            self._cancellation.watch()
        for run in runs:
            self._in_flight.take(run, is_early=is_early)
            self._pool.execute(run)
        self._session.confirm()
        if len(runs) == room:
            self._wake_next_worker(runs[-1])

    async def _release_returned(self) -> None:
        """Release the runs that the pool did not call, or that have waited too long for a slot."""
        returned = self._pool.returned
        # The runs in the slots may take longer than expected. The runs behind them must not wait
        # for their end while other workers have free slots.
        overdue = self._in_flight.overdue() if self._in_flight.has_waiting else []
        if late := self._pool.withdraw(overdue):
            returned[BUSY] += late
        while returned:
            reason, runs = returned.popitem()
            if reason == BUSY:
                self._in_flight.slow_down()
            await self.release(runs, reason)

    def _wake_next_worker(self, run: Run) -> None:
        """Wake another worker, because this one is full and more runs may be queued."""
        now = asyncio.get_running_loop().time()
        if now - self._rang_at >= RING_INTERVAL:
            self._rang_at = now
            doorbell.ring_on(run)

    def _seconds_to_next_step(self, free: int) -> float:
        """Return the seconds until the next step, unless a ring comes first."""
        now = clock.last_known(self._using)
        wait = _seconds_to_next_poll(now, can_be_rung=self._can_be_rung())
        if not free:
            return wait
        session = self._session
        if session.outlook.has_unseen_ring:
            wait = min(wait, LOOK_INTERVAL)
        if session.doubts_marks and session.outlook.next_ready is None:
            wait = min(wait, RENEWAL_IN_DOUBT)
        may_be_early = self._in_flight.early_room > 0
        next_claim = session.next_claim(now, may_be_early=may_be_early)
        if next_claim is None:
            return wait
        return min(wait, max(0.0, (next_claim - now).total_seconds()))


def _seconds_to_next_poll(now: datetime, *, can_be_rung: bool) -> float:
    interval = conf.get_settings().poll_interval
    if can_be_rung:
        return interval * random.uniform(*SLOW_POLLS)
    if interval < 1:
        return interval
    # Schedules name whole seconds. Polling shortly after a whole second finds new runs soonest
    # where nothing rings for them.
    return interval - now.microsecond / 1e6 + SECOND_OFFSET + random.uniform(0, POLL_JITTER)
