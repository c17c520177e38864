"""Claim runs for a worker, and release claims whose commit was never confirmed.

`Claiming` is the loop. It claims runs when the worker has free slots, and passes them to its pool.
`ClaimSession` does what the loop needs in the database.

A connection may break after the database has committed a claim and before the worker reads the
answer. The runs are then running in the ledger, but the worker does not know them. So from the
moment a claim is sent, it is in doubt until the worker confirms that it has taken the runs:

    clear --claim or release--> in doubt --confirm--> clear
                                     |
                                     +--release_unconfirmed--> the other runs are released

`release_unconfirmed` runs before each claim and when the worker stops. It compares the runs that
the ledger says the worker is running with the runs that the worker knows, and releases the
difference.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from django.utils.translation import ngettext

from sisy import clock, conf
from sisy.exceptions import LeaseLost
from sisy.lifecycle.release import release, release_running
from sisy.messaging import doorbell
from sisy.models import Run
from sisy.models.lease import Lease
from sisy.runtime.log import logger
from sisy.runtime.loop import IDLE_POLL_INTERVAL, Loop
from sisy.store.database_thread import DatabaseThread
from sisy.store.levels import ready_moments
from sisy.worker.cancellation import CancellationWatcher
from sisy.worker.claim import claim
from sisy.worker.low_water import LowWaterMarks
from sisy.worker.missing_code import Unresolved
from sisy.worker.outcome_buffer import OutcomeBuffer
from sisy.worker.pool_client import BUSY, PoolClient
from sisy.worker.prefetch import PREFETCH_TIMEOUT, InFlight
from sisy.worker.unreadable_runs import past_unreadable_runs

SECOND_OFFSET = 0.05  # seconds that a heartbeat has to plan what is due
POLL_JITTER = 0.05
# Seconds between two rings of a full worker. A ring costs as much as a short run.
RING_INTERVAL = 0.1


class ClaimSession:
    """Claims and releases runs for one worker.

    Call everything but `confirm` in one thread.

    Args:
        in_flight, outcomes: the runs that the worker knows it holds.
        unresolved: the functions to leave to others.

    Attributes:
        next_ready: when the next run of the queues becomes, or became, ready; None if unknown.
    """

    def __init__(
        self,
        using: str,
        queues: Sequence[str],
        lease: Lease,
        in_flight: InFlight,
        outcomes: OutcomeBuffer,
        unresolved: Unresolved,
    ) -> None:
        self._using = using
        self._queues = queues
        self._lease = lease
        self._in_flight = in_flight
        self._outcomes = outcomes
        self._unresolved = unresolved
        self._is_in_doubt = False
        self._marks = LowWaterMarks(using)
        self.next_ready: datetime | None = None

    def claim(self, free: int, *, was_rung_for: bool) -> list[Run]:
        """Claim up to ``free`` runs and return them.

        Args:
            was_rung_for: whether a ring announced a run. If not, first check if any run is ready.
                If so, and there is none, it may be before the low-water mark.
        """
        self.release_unconfirmed()
        if self._marks.renewal.is_due():
            is_ready = self._marks.renew(self._queues, self._now())
            self.look_ahead()
            return self._claim(free) if is_ready else []
        if not was_rung_for and not self.is_next_ready(self._now()) and not self.look_ahead():
            return []
        runs = self._claim(free)
        if not runs and was_rung_for:
            self._marks.renewal.hasten()
            if self._marks.renewal.is_due() and self._marks.renew(self._queues, self._now()):
                return self._claim(free)
            # The ring may have announced a run that was planned ahead.
            self.look_ahead()
        return runs

    def is_next_ready(self, now: datetime) -> bool:
        """Return whether the run that was to become ready next is ready."""
        return self.next_ready is not None and self.next_ready <= now

    def look_ahead(self) -> bool:
        """Find out when the next run becomes ready. Return whether any run is ready now."""
        levels = [level for queue in self._queues for level in self._marks.levels(queue)]
        is_ready, self.next_ready = ready_moments(self._using, levels, self._now())
        return is_ready

    def _claim(self, free: int) -> list[Run]:
        self._is_in_doubt = True
        claim_now = partial(
            claim,
            queues=self._queues,
            limit=free,
            missing=self._unresolved.paths(),
            marks=self._marks,
        )
        try:
            return self._past_unreadable(partial(claim_now, self._lease.process()))
        except LeaseLost:
            return self._past_unreadable(partial(claim_now, self._lease.renew()))

    def _past_unreadable(self, claim_at: Callable[..., list[Run]]) -> list[Run]:
        now = self._now()
        return past_unreadable_runs(partial(claim_at, now=now), self._using, self._queues, now)

    def confirm(self) -> None:
        """Confirm that the worker has taken the runs that the last claim returned."""
        self._is_in_doubt = False

    def release(self, runs: list[Run], reason: str) -> None:
        """Release these runs, so that other workers can claim them."""
        # If the connection breaks now, these runs may still be this worker's in the ledger.
        was_in_doubt, self._is_in_doubt = self._is_in_doubt, True
        release(self._using, runs, reason, self._now())
        self._is_in_doubt = was_in_doubt

    def release_unconfirmed(self) -> None:
        """Release the runs of a claim that is in doubt. Does nothing if none is."""
        if not self._is_in_doubt:
            return
        held = Run.objects.using(self._using).running_in(self._lease.process().pk)
        known = self._in_flight.keys | self._outcomes.unrecorded
        unconfirmed = list(held.exclude(pk__in=known))
        reason = "The database connection failed during the claim."
        release(self._using, unconfirmed, reason, self._now())

    def end(self, abandoned: list[Run]) -> None:
        """Release the runs that are still running, and unregister the worker."""
        if abandoned:
            count = release_running(self._using, abandoned, "Its worker stopped", self._now())
            words = ngettext(
                "Released %d run that was still running",
                "Released %d runs that were still running",
                count,
            )
            logger.warning(words, count)
        self.release_unconfirmed()
        self._lease.end()

    def _now(self) -> datetime:
        return clock.now(self._using)


class Claiming:
    """Claims runs for a worker, and releases those that do not start.

    Args:
        loop: calls `step`.
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
    ) -> None:
        self._using = using
        self._database = database
        self._session = session
        self._in_flight = in_flight
        self._pool = pool
        self._cancellation = cancellation
        self._loop = loop
        self._rang_at = 0.0

    async def release(self, runs: list[Run], reason: str) -> None:
        """Let other workers have runs that have not started."""
        for run in runs:
            self._in_flight.drop(run)
        await self._database.run(self._session.release, runs, reason)
        doorbell.ring(runs[:1])

    async def end(self, abandoned: list[Run]) -> None:
        """Let other workers have the runs that are still running, and unregister."""
        await self._database.run(self._session.end, abandoned)

    async def step(self) -> float:
        """Release and claim runs once. Return the seconds until the next step."""
        await self._release_returned()
        if not self._pool.readiness.is_ready:
            await self._database.run(self._session.release_unconfirmed)
            return IDLE_POLL_INTERVAL
        room = self._in_flight.room
        won = await self._claim(room) if room else 0
        self._in_flight.may_have_more = won == room
        if won < room and self._session.is_next_ready(clock.last_known(self._using)):
            await self._database.run(self._session.look_ahead)
        wait = self._seconds_to_next_step(room - won)
        return min(PREFETCH_TIMEOUT, wait) if self._in_flight.has_waiting else wait

    async def _claim(self, room: int) -> int:
        """Claim runs, and pass them to the pool. Return how many."""
        was_rung_for = self._loop.was_woken
        runs = await self._database.run(self._session.claim, room, was_rung_for=was_rung_for)
        # The watcher sleeps while no run is in flight.
        if runs and not self._in_flight:
            self._cancellation.watch()
        for run in runs:
            self._in_flight.take(run)
            self._pool.execute(run)
        self._session.confirm()
        if len(runs) == room:
            self._wake_next_worker(runs[-1])
        return len(runs)

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
        now, next_ready = clock.last_known(self._using), self._session.next_ready
        next_poll = _seconds_to_next_poll(now)
        if not free or next_ready is None or next_ready <= now:
            return next_poll
        return min(next_poll, (next_ready - now).total_seconds())


def _seconds_to_next_poll(now: datetime) -> float:
    # Schedules name whole seconds. Polling shortly after a whole second finds new runs soonest
    # where no layer rings for them.
    interval = conf.get_settings().poll_interval
    if interval < 1:
        return interval
    return interval - now.microsecond / 1e6 + SECOND_OFFSET + random.uniform(0, POLL_JITTER)
