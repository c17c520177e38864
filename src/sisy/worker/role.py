"""The worker: it claims runs when it has free slots, and executes them."""

import asyncio
from collections.abc import Iterable
from functools import partial

from django.db import router

from sisy import clock, conf
from sisy.execution import MakePool, ThreadPool
from sisy.messaging import doorbell, sender
from sisy.models import Role, Task
from sisy.models.lease import Lease
from sisy.runtime.worker_options import concurrency_of, grace_of, queue_names
from sisy.store.database_thread import DatabaseThread
from sisy.worker.cancellation import CancellationWatcher
from sisy.worker.claim_session import Claiming, ClaimSession
from sisy.worker.draining import Draining
from sisy.worker.lease import LeaseRenewal
from sisy.worker.listener import ChannelListener
from sisy.worker.outcome_buffer import OutcomeBuffer
from sisy.worker.pool_client import PoolClient
from sisy.worker.prefetch import InFlight


class Worker:
    """Executes the runs of its queues.

    Args:
        queues: the names of the queues.
        concurrency: the maximum number of concurrent runs, 1 to 1000.
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
        self.using = using or router.db_for_write(Task)
        self._make_pool = pool
        database = DatabaseThread("sisy-worker")
        # A thread of its own: a renewal of the lease must not wait for a long claim.
        lease_database = DatabaseThread("sisy-worker-lease")
        self._databases = database, lease_database
        lease = Lease(Role.WORKER, self.using, queues=self.queues, slots=self.concurrency)
        in_flight = InFlight(self.concurrency)
        self._leasing = LeaseRenewal(lease, lease_database, lambda: self.is_stopping, self.stop)
        self._outcomes = OutcomeBuffer(
            self.using, database, in_flight, lambda ended: self._claiming.recorded(ended)
        )
        self._pool = PoolClient(in_flight, self._outcomes, lease, self._leasing.report, self.wake)
        self._cancellation = CancellationWatcher(self.using, lease_database, in_flight, self._pool)
        session = ClaimSession(
            self.using, self.queues, lease, lambda: in_flight.keys | self._outcomes.unrecorded
        )
        self._claiming = Claiming(
            self.using, database, session, in_flight, self._pool, self._cancellation
        )
        self._draining = Draining(
            self.grace, in_flight, self._pool, self._claiming, self._outcomes
        )

    async def run(self) -> None:
        """Execute runs until `stop`. Then give them ``grace`` seconds, and release the rest."""
        with sender.local_loop():
            await self._work_until_stopped()

    async def _work_until_stopped(self) -> None:
        pool = self._make_pool(self.concurrency, partial(clock.last_known, self.using))
        self._pool.open(pool)
        listener = ChannelListener(self.queues, self.wake, self._check_requests)
        loops = self._leasing.loop, self._outcomes.loop, self._cancellation.loop
        keeping = [asyncio.create_task(loop.run()) for loop in loops]
        readying = asyncio.create_task(self._pool.readiness.run(pool))
        listener.open()
        try:
            with doorbell.listening(self.queues, self.wake, self._check_requests):
                await self._claiming.loop.run()
            await listener.close()
            await self._draining.let_runs_finish()
        finally:
            for loop in loops:
                loop.stop()
            readying.cancel()
            await asyncio.gather(*keeping)
            await self._draining.sign_off()
            for database in self._databases:
                await database.close()

    def stop(self) -> None:
        """Claim no more runs and drain. A second call releases running runs now."""
        if self.is_stopping:
            self._draining.hurry()
        self._claiming.loop.stop()

    @property
    def is_stopping(self) -> bool:
        """Return whether the worker claims no more runs: it was stopped or asked to drain."""
        return self._claiming.loop.is_stopping

    def wake(self) -> None:
        """Look for queued runs now. Thread-safe."""
        self._claiming.loop.wake()

    def _check_requests(self) -> None:
        """Check for cancel and drain requests now."""
        self._cancellation.loop.wake()
        self._leasing.loop.wake()
