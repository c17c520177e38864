"""The worker: it claims runs when it has free slots, and executes them."""

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

from django.db import router
from django.utils.translation import ngettext

from sisy import clock, conf, doorbell
from sisy.database_thread import DatabaseThread
from sisy.execution import MakePool, NotCalled, Outcome, ThreadPool
from sisy.inbox import Inbox
from sisy.lifecycle.release import hand_over
from sisy.log import logger
from sisy.loop import Loop
from sisy.models import Run, RunState, Task
from sisy.store.outcomes import Ended
from sisy.worker.cancellation import CancellationWatcher
from sisy.worker.claim_session import ClaimSession
from sisy.worker.lease import Lease
from sisy.worker.listener import ChannelListener
from sisy.worker.outcome_buffer import OutcomeBuffer
from sisy.worker.prefetch import PREFETCH_TIMEOUT, InFlight
from sisy.worker.readiness import Readiness
from sisy.worker.unresolved import Unresolved
from sisy.worker_options import concurrency_of, grace_of, queue_names

BEHIND_THE_SECOND = 0.05  # seconds that a heartbeat has to plan what is due
JITTER = 0.05
TIME_TO_HEAR = 0.1  # seconds in which a stopping worker still accepts outcomes from its pool
IDLE = 60.0  # seconds
RING_INTERVAL = (
    0.1  # seconds between two rings of a full worker; a ring costs as much as a short run
)


Heard = Outcome | NotCalled | None


class Worker:
    """Executes the runs of its queues.

    Args:
        queues: the names of the queues.
        concurrency: the number of runs to execute at once; 1 to 1000.
        grace: the seconds that `stop` gives runs to finish before it releases them.
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
        self._make_pool = pool
        self.using = using or router.db_for_write(Task)
        self._database = DatabaseThread("sisy-worker")
        self._lease_database = DatabaseThread("sisy-worker-lease")
        self._lease = Lease(self.using, self.queues, concurrency)
        self._claiming = Loop("Claiming runs", self._claim)
        # After an outage, the worker must renew before a heartbeat may judge its lease: see
        # `SuspensionGuard`.
        within = conf.get_settings().lease_seconds / 6
        self._leasing = Loop("Renewing the lease", self._renew_lease, longest_delay=within)
        self._in_flight = InFlight(concurrency)
        self._outcome_buffer = OutcomeBuffer(
            self.using, self._database, self._in_flight, self._on_recorded
        )
        self._cancellation = CancellationWatcher(self.using, self._lease_database, self._in_flight)
        self._listener = ChannelListener(self.queues, self.wake, self._look)
        self._unresolved = Unresolved()
        self._claim_session = ClaimSession(
            self.using, self.queues, self._lease, self._known, self._unresolved
        )
        self._readiness = Readiness(self._report, self.wake)
        self._unbegun: list[Run] = []
        self._uncalled: list[tuple[Run, str]] = []  # with the reasons
        self._may_have_more = False
        self._rang_at = 0.0
        self._hurry = asyncio.Event()
        self._all_ended = asyncio.Event()
        self._is_leaving = False

    async def run(self) -> None:
        """Execute runs until `stop`. Then give them ``grace`` seconds, and release the rest."""
        with doorbell.at_home():
            await self._work_until_stopped()

    async def _work_until_stopped(self) -> None:
        self._pool = self._make_pool(self.concurrency, partial(clock.last_known, self.using))
        self._outcomes = Inbox(asyncio.get_running_loop(), self._take_outcomes)
        keeping = [
            asyncio.create_task(loop.run()) for loop in (self._leasing, self._outcome_buffer)
        ]
        keeping.append(asyncio.create_task(self._cancellation.obey(self._pool)))
        readying = asyncio.create_task(self._readiness.run(self._pool))
        self._listener.open()
        try:
            with doorbell.listening(self.queues, self.wake, self._look):
                await self._claiming.run()
            await self._listener.close()
            await self._let_runs_go_on()
        finally:
            self._leasing.stop()
            self._outcome_buffer.stop()
            self._cancellation.stop()
            readying.cancel()
            await asyncio.gather(*keeping)
            await self._sign_off()

    def stop(self) -> None:
        """Claim no more runs and drain. A second call releases running runs at once."""
        if self._claiming.is_stopping:
            self._hurry.set()
        self._claiming.stop()

    @property
    def is_stopping(self) -> bool:
        """Return whether the worker claims no more runs: it was stopped or asked to drain."""
        return self._claiming.is_stopping

    def wake(self) -> None:
        """Look for queued runs now. Thread-safe."""
        self._claiming.wake()

    def _look(self) -> None:
        """Check for cancel and drain requests now."""
        self._cancellation.look()
        self._leasing.wake()

    async def _claim(self) -> float:
        await self._release_uncalled()
        await self._release_overdue()
        if not self._readiness.is_ready:
            await self._database.run(self._claim_session.settle)
            return IDLE
        room = self._in_flight.room
        runs = await self._win(room) if room else []
        # The watcher sleeps while no run is in flight.
        if runs and not len(self._in_flight):
            self._cancellation.look()
        for run in runs:
            self._in_flight.take(run)
            self._carry_out(run)
        if room:
            self._claim_session.heard()
        self._may_have_more = len(runs) == room
        if runs and self._may_have_more:
            self._ring_on(runs[-1])
        next_look = self._seconds_to_next_look()
        return min(PREFETCH_TIMEOUT, next_look) if self._in_flight.holds_some_ahead else next_look

    async def _win(self, room: int) -> list[Run]:
        was_rung_for = self._claiming.was_woken
        return await self._database.run(self._claim_session.claim, room, was_rung_for=was_rung_for)

    async def _release_uncalled(self) -> None:
        """Release the runs that the pool could not call."""
        uncalled, self._uncalled = self._uncalled, []
        reasons = dict.fromkeys(reason for _, reason in uncalled)
        for reason in reasons:
            await self._release([run for run, why in uncalled if why == reason], reason)

    async def _release_overdue(self) -> None:
        """Release runs that have waited too long for a slot."""
        # The runs in the slots may take longer than expected. The runs behind them must not wait
        # for their end while other workers have free slots.
        late, self._unbegun = self._unbegun, []
        if self._in_flight.holds_some_ahead:
            late += [run for run in self._in_flight.overdue() if self._pool.withdraw(run.pk)]
        if late:
            self._in_flight.slow_down()
            await self._release(late, "Released, because its worker was busy with longer runs.")

    async def _release(self, runs: list[Run], reason: str) -> None:
        for run in runs:
            self._in_flight.drop(run)
        await self._database.run(self._claim_session.release, runs, reason)
        doorbell.ring(runs[:1])

    def _ring_on(self, run: Run) -> None:
        """Wake another worker, because this one is full and more runs may be queued."""
        now = asyncio.get_running_loop().time()
        if now - self._rang_at >= RING_INTERVAL:
            self._rang_at = now
            doorbell.ring([run])

    def _known(self) -> set[int]:
        """Return the keys of the runs that this worker knows it holds."""
        return {run.pk for run in self._in_flight} | self._outcome_buffer.unrecorded

    def _carry_out(self, run: Run) -> None:
        """Pass a run to the pool. If that fails, report it as not called, so its slot is freed."""
        try:
            self._pool.carry_out(run, self._hear, self._lease.surely_holds)
        except Exception as error:  # noqa: BLE001 - the border around the pool
            logger.exception("Could not execute run %s; releasing it", run.pk)
            self._hear(run, NotCalled(reason=f"Its worker could not execute it: {error!r}."))

    def _hear(self, run: Run, outcome: Heard) -> None:
        self._outcomes.put((run, outcome))

    def _take_outcomes(self, heard: list[tuple[Run, Heard]]) -> None:
        self._unbegun += [run for run, outcome in heard if outcome is None]
        ended = [(run, outcome) for run, outcome in heard if isinstance(outcome, Outcome)]
        if ended:
            self._readiness.worked()
        for run, outcome in heard:
            if isinstance(outcome, NotCalled):
                self._uncalled.append((run, outcome.reason))
                self._readiness.failed(outcome.reason)
        # While the worker stops, it cancels what is still running. Such a run is handed over to
        # other workers, and must not be recorded as cancelled.
        if self._is_leaving:
            ended = [one for one in ended if one[1].state != RunState.CANCELLED]
        self._outcome_buffer.add([one for one in ended if self._in_flight.drop(*one)])
        if self._unbegun or self._uncalled:
            self._claiming.wake()
        if not len(self._in_flight):
            self._all_ended.set()
        if self._may_have_more and self._in_flight.has_run_low:
            self._claiming.wake()

    def _on_recorded(self, ended: Ended) -> None:
        """Announce released runs, and look for runs again."""
        # A finished run may have blocked other runs of its task, which may start now.
        if released := self._unresolved.note(ended):
            doorbell.ring(released)
        self.wake()

    async def _report(self, problem: str) -> None:
        await self._lease_database.run(self._lease.report, problem)

    async def _renew_lease(self) -> float:
        await self._lease_database.run(self._lease.renew)
        if not self.is_stopping and await self._lease_database.run(self._lease.is_to_drain):
            logger.info("Drain requested; stopping when all current runs finish")
            self.stop()
        return conf.get_settings().lease_seconds / 4

    def _seconds_to_next_look(self) -> float:
        """Return the seconds until the next poll, unless a ring comes first."""
        # Schedules name whole seconds. Polling shortly after a whole second finds new runs soonest
        # where no layer rings for them.
        interval = conf.get_settings().poll_interval
        if interval < 1:
            return interval
        into_second = clock.last_known(self.using).microsecond / 1e6
        return interval - into_second + BEHIND_THE_SECOND + random.uniform(0, JITTER)

    async def _let_runs_go_on(self) -> None:
        not_begun = [run for run in self._in_flight if self._pool.withdraw(run.pk)]
        if not_begun:
            await self._release(not_begun, "Released, because its worker stopped.")
        if not len(self._in_flight):
            return
        going = ngettext("%d run", "%d runs", len(self._in_flight)) % len(self._in_flight)
        logger.info("Stopping: waiting up to %g s for %s to finish", self.grace, going)
        self._all_ended.clear()
        waits = [asyncio.create_task(one.wait()) for one in (self._hurry, self._all_ended)]
        await asyncio.wait(waits, timeout=self.grace, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def _sign_off(self) -> None:
        self._is_leaving = True
        # Cancel what can be cancelled first, so that it has ended before other workers start it.
        self._pool.close()
        if len(self._in_flight):
            self._all_ended.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(TIME_TO_HEAR):
                    await self._all_ended.wait()
        abandoned = list(self._in_flight)
        for run in abandoned:
            self._in_flight.drop(run)
        try:
            await self._outcome_buffer.flush()
            await self._database.run(self._leave, abandoned)
        except Exception as error:  # noqa: BLE001 - the worker ends, and its lease expires
            logger.warning("Could not unregister (%s); the lease will expire", error)
        await self._database.close()
        await self._lease_database.close()

    def _leave(self, abandoned: list[Run]) -> None:
        if abandoned:
            now = clock.now(self.using)
            count = hand_over(self.using, abandoned, "Its worker stopped", now)
            words = ngettext(
                "Released %d run that was still running",
                "Released %d runs that were still running",
                count,
            )
            logger.warning(words, count)
        self._claim_session.settle()
        self._lease.end()
