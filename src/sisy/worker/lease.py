"""Renew the lease of a worker, and ask whether a user wants the worker to drain."""

from collections.abc import Callable

from sisy import conf
from sisy.models.lease import RENEWALS, Lease
from sisy.runtime.log import logger
from sisy.runtime.loop import Loop
from sisy.store.database_thread import DatabaseThread


class LeaseRenewal:
    """Renews a lease in time, and asks whether a user wants the worker to drain.

    Args:
        database: the thread to renew in. It must not be busy for long.
        is_stopping: returns whether the worker is stopping already.
        drain: called when the worker is to drain.

    Attributes:
        loop: renews the lease; wake it to check for a drain request now.
    """

    def __init__(
        self,
        lease: Lease,
        database: DatabaseThread,
        is_stopping: Callable[[], bool],
        drain: Callable[[], None],
    ) -> None:
        self._lease = lease
        self._database = database
        self._is_stopping = is_stopping
        self._drain = drain
        # After an outage, the worker must renew before a heartbeat may judge its lease: see
        # `SuspensionGuard`.
        within = conf.get_settings().lease_seconds / 6
        self.loop = Loop("Renewing the lease", self._renew, longest_delay=within)

    async def report(self, problem: str) -> None:
        """Store why the worker cannot start functions. Pass an empty text when it can again."""
        await self._database.run(self._report, problem)

    async def _renew(self) -> float:
        process = await self._database.run(self._lease.renew)
        if not self._is_stopping() and await self._database.run(process.is_drain_requested):
            logger.info("Drain requested; stopping when all current runs finish")
            self._drain()
        return conf.get_settings().lease_seconds / RENEWALS

    def _report(self, problem: str) -> None:
        process = self._lease.process()
        if not problem:
            logger.info("%s claims runs again", process)
        elif not process.problem:
            logger.error("%s claims no runs, because it cannot start runs: %s", process, problem)
        self._lease.note_problem(problem)
