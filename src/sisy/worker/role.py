"""The worker as a process: it claims runs as it has free slots, and carries them out."""

import asyncio
import random
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.db import router

from sisy import clock, conf, doorbell
from sisy.exceptions import LeaseLost
from sisy.execution import MakePool, Outcome, ThreadPool
from sisy.log import logger
from sisy.loop import Loop
from sisy.models import Run, RunState, Task
from sisy.threads import DatabaseThread
from sisy.worker.claiming import claim
from sisy.worker.ears import Ears
from sisy.worker.handover import give_back, hand_over
from sisy.worker.lease import Lease
from sisy.worker.recording import record
from sisy.worker.requests import Requests

OUTCOMES_AT_ONCE = 200
IDLE = 60.0
BEHIND_THE_SECOND = 0.05  # seconds that a heartbeat has to plan what is due
JITTER = 0.05
TIME_TO_HEAR = 0.1  # seconds in which a worker that leaves hears what ended just before
RINGS_APART = 0.1  # seconds between two rings of a full worker; each costs as much as a short run


class Worker:
    """Carries out the runs of its queues.

    Args:
        queues: their names.
        concurrency: how many runs at once; 1 to 1000.
        grace: how long `stop` lets runs go on, in seconds, before they are handed back.
        using: the alias of the database; by default where the routers write tasks.
        pool: makes what carries the runs out; by default threads.
    """

    def __init__(
        self,
        queues: Iterable[str] = conf.DEFAULT_QUEUES,
        concurrency: int = conf.DEFAULT_CONCURRENCY,
        grace: float = conf.DEFAULT_GRACE,
        using: str | None = None,
        pool: MakePool = ThreadPool,
    ) -> None:
        self.queues = tuple(queues)
        self.concurrency = concurrency
        self.grace = grace
        self._make_pool = pool
        self.using = using or router.db_for_write(Task)
        self._database = DatabaseThread("sisy-worker")
        self._lease_database = DatabaseThread("sisy-worker-lease")
        self._lease = Lease(self.using, self.queues, concurrency)
        self._claiming = Loop("the worker's claiming", self._claim)
        self._recording = Loop("the worker's recording", self._record)
        # Heard of again, after an outage, before a heartbeat may judge it: see `Vigil`.
        within = conf.get_settings().lease_seconds / 6
        self._leasing = Loop("the worker's lease", self._renew_lease, longest_delay=within)
        self._requests = Requests(self.using, self._lease_database, lambda: self._in_hand.values())
        self._ears = Ears(self.queues, self.wake, self._requests.look)
        self._in_hand: dict[tuple[int, int], Run] = {}  # by run and attempt
        self._ended: list[tuple[Run, Outcome]] = []
        self._claim_is_in_doubt = False
        self._carrying_out: set[asyncio.Task[None]] = set()
        self._more_may_wait = False
        self._rang_at = 0.0
        self._hurry = asyncio.Event()
        self._is_leaving = False

    async def run(self) -> None:
        """Work until `stop`; then let runs go on for ``grace`` seconds, and hand back the rest."""
        self._pool = self._make_pool(self.concurrency, partial(clock.last_known, self.using))
        keeping = [asyncio.create_task(loop.run()) for loop in (self._leasing, self._recording)]
        keeping.append(asyncio.create_task(self._requests.obey(self._pool)))
        self._ears.open()
        try:
            with doorbell.listening(self.queues, self.wake, self._requests.look):
                await self._claiming.run()
            await self._ears.close()
            await self._let_runs_go_on()
        finally:
            self._leasing.stop()
            self._recording.stop()
            self._requests.stop()
            await asyncio.gather(*keeping)
            await self._sign_off()

    def stop(self) -> None:
        """Claim no more and drain; called again, hand back at once what still runs."""
        if self._claiming.is_stopping:
            self._hurry.set()
        self._claiming.stop()

    def wake(self) -> None:
        """Look for waiting runs at once; callable from any thread."""
        self._claiming.wake()

    async def _claim(self) -> float:
        free = self.concurrency - len(self._in_hand)
        runs = await self._database.run(self._claim_here, free) if free else []
        for run in runs:
            self._in_hand[run.pk, run.attempt] = run
            carrying_out = asyncio.create_task(self._carry_out(run))
            self._carrying_out.add(carrying_out)
            carrying_out.add_done_callback(self._carrying_out.discard)
        self._claim_is_in_doubt = False
        if runs:
            self._requests.look()
        self._more_may_wait = len(runs) == free
        if runs and self._more_may_wait:
            self._ring_on(runs[-1])
        return self._seconds_to_next_look()

    def _ring_on(self, run: Run) -> None:
        """Wake another worker, since this one is full and more runs may wait."""
        now = asyncio.get_running_loop().time()
        if now - self._rang_at >= RINGS_APART:
            self._rang_at = now
            doorbell.ring([run])

    def _claim_here(self, free: int) -> list[Run]:
        if self._claim_is_in_doubt:
            self._hand_back_what_was_won_unheard()
        self._claim_is_in_doubt = True
        try:
            return claim(self._lease.holder(), self.queues, free, clock.now(self.using))
        except LeaseLost:
            return claim(self._lease.renew(), self.queues, free, clock.now(self.using))

    def _hand_back_what_was_won_unheard(self) -> None:
        """A connection that broke after the commit leaves runs that nobody knows to be his."""
        known = {run.pk for run in self._in_hand.values()} | {run.pk for run, _ in self._ended}
        held = Run.objects.using(self.using).running().filter(holder=self._lease.holder().pk)
        unheard = list(held.exclude(pk__in=known))
        reason = "The connection broke while it was claimed; handed back."
        give_back(self.using, unheard, reason, clock.now(self.using))

    async def _carry_out(self, run: Run) -> None:
        outcome = await self._execute(run)
        if self._is_leaving and outcome.state == RunState.CANCELLED:
            return  # it did not end by itself, and is handed over
        if (run.pk, run.attempt) in self._in_hand:
            self._ended.append((run, outcome))
            del self._in_hand[run.pk, run.attempt]
            self._recording.wake()
            if self._more_may_wait:
                self._claiming.wake()

    async def _execute(self, run: Run) -> Outcome:
        """A run whose end we cannot tell must not keep its slot for ever."""
        try:
            return await self._pool.execute(run)
        except (Exception, asyncio.CancelledError) as error:
            if self._is_leaving:
                raise  # the pool is closed, and the run is handed over
            logger.exception("Run %s could not be carried out", run.pk)
            now = clock.last_known(self.using)
            return Outcome(
                state=RunState.FAILED, started_at=now, finished_at=now, reason=f"Sisy: {error!r}"
            )

    async def _record(self) -> float:
        while self._ended:
            ended = self._ended[:OUTCOMES_AT_ONCE]
            await self._database.run(self._record_here, ended)
            del self._ended[: len(ended)]
            self._claiming.wake()  # a run may have waited for the end of another one of its task
        return IDLE

    def _record_here(self, ended: list[tuple[Run, Outcome]]) -> None:
        record(self.using, ended, clock.now(self.using))

    async def _renew_lease(self) -> float:
        await self._lease_database.run(self._lease.renew)
        return conf.get_settings().lease_seconds / 4

    def _seconds_to_next_look(self) -> float:
        """Return how long to wait for a ring: to shortly after a due moment, where none may come.

        Schedules name whole seconds. Just behind them, runs that nobody rings for wait least.
        """
        interval = conf.get_settings().poll_interval
        if interval < 1:
            return interval
        into_second = clock.last_known(self.using).microsecond / 1e6
        return interval - into_second + BEHIND_THE_SECOND + random.uniform(0, JITTER)

    async def _let_runs_go_on(self) -> None:
        if not self._carrying_out:
            return
        logger.info("Stopping: %d runs may go on for %g s", len(self._carrying_out), self.grace)
        hurry = asyncio.create_task(self._hurry.wait())
        all_ended = asyncio.create_task(asyncio.wait(set(self._carrying_out)))
        either: set[asyncio.Task[Any]] = {hurry, all_ended}
        await asyncio.wait(either, timeout=self.grace, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()

    async def _sign_off(self) -> None:
        self._is_leaving = True
        self._pool.close()  # what it can end is over before others begin it
        if self._carrying_out:
            await asyncio.wait(self._carrying_out, timeout=TIME_TO_HEAR)
        abandoned, self._in_hand = list(self._in_hand.values()), {}
        try:
            await self._record()
            await self._database.run(self._leave, abandoned)
        except Exception as error:  # noqa: BLE001 - it is the end, and the lease runs out by itself
            logger.warning("Could not sign off (%s); the lease will run out", error)
        await self._database.close()
        await self._lease_database.close()

    def _leave(self, abandoned: list[Run]) -> None:
        if abandoned:
            now = clock.now(self.using)
            count = hand_over(self.using, abandoned, "Its worker stopped", now)
            logger.warning("Handed back %d runs that were still going", count)
        if self._claim_is_in_doubt:
            self._hand_back_what_was_won_unheard()
        self._lease.end()
