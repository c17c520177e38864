"""The lease by which a worker holds its runs, and the fence that protects them.

A dead worker looks the same as a slow one: it is silent. So each worker promises, in the row of
its `Process`, to renew its lease before ``lease_until``:

    registered --renew, each quarter of a lease--> registered
        |
        +-- lease_until passes, or the parent reports the death --> expired
                |
                +-- a heartbeat takes its runs and deletes its row --> gone
                |        |
                |        +-- the worker is alive after all --> registered under a new name
                +-- the worker renews first --> registered

A renewal is an UPDATE of the worker's own row. If it matches no row, the worker was declared dead,
and its runs may be running elsewhere. It registers again as a new process with a new key.

The fence follows from that key. Every statement by which a worker changes a run repeats the
process, the attempt and the state that the worker last saw (``RunQuerySet.held``). A worker that
was suspended and wakes up, a zombie, holds an old key: its UPDATE matches nothing, and its outcome
is discarded. The fence protects the ledger only. What a zombie's function does to the outside
world happens, which is why functions must be safe to run twice.

The steady clock of the host adds a cheap local check: `Lease.surely_holds` refuses to start a run
that was claimed before a long pause, without asking the database.
"""

import threading
from collections.abc import Callable
from datetime import datetime

from sisy import clock, conf
from sisy.models import Process, Role, Run
from sisy.runtime import parent_pipe
from sisy.runtime.log import logger
from sisy.runtime.loop import Loop
from sisy.store.database_thread import DatabaseThread


class Lease:
    """Registers a worker, renews its lease, and registers it again if it was declared dead."""

    # Two threads use it. One claims, and may be busy for a while; the other one renews in time.
    def __init__(self, using: str, queues: tuple[str, ...], slots: int) -> None:
        self._using = using
        self._queues = queues
        self._slots = slots
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._problem = ""
        self._problem_since: datetime | None = None
        # The key of the process, and until when it surely holds its lease, by the steady clock.
        self._held: tuple[int, float] | None = None

    def process(self) -> Process:
        """Return the worker's process. Register it if necessary."""
        with self._lock:
            return self._process or self._sign_on()

    def renew(self) -> Process:
        """Renew the lease. Register again, as a new process, if the lease was lost."""
        with self._lock:
            process = self._process
            if process is None:
                return self._sign_on()
            began = clock.steady()
            if not process.renew(clock.now(self._using), conf.get_settings().lease):
                logger.warning(
                    "%s lost its lease and is registering again; other workers may rerun its runs",
                    process,
                )
                return self._sign_on()
            self._note(process, began)
            return process

    def is_to_drain(self) -> bool:
        """Return whether a user asked the worker to stop once its runs have finished."""
        process = self._process
        return process is not None and process.is_drain_requested()

    def report(self, problem: str) -> None:
        """Store why the worker cannot start runs. Pass an empty text when it can again."""
        with self._lock:
            if not problem:
                logger.info("%s claims runs again", self._process)
                self._problem_since = None
            elif not self._problem:
                logger.error(
                    "%s claims no runs, because it cannot start runs: %s",
                    self._process,
                    problem,
                )
                self._problem_since = clock.last_known(self._using)
            # Kept here as well, so that it is stored again if the worker has to register again.
            self._problem = problem
            if self._process is not None:
                self._process.note_problem(problem, self._problem_since)

    def surely_holds(self, run: Run) -> bool:
        """Return whether nobody can have taken over ``run``. Thread-safe; never blocks."""
        # After a pause of the process or of the whole host, another worker may be executing it.
        held = self._held
        return held is not None and run.process_id == held[0] and clock.steady() < held[1]

    def end(self) -> None:
        """Unregister the process. Release its runs first."""
        with self._lock:
            if self._process is not None:
                self._process.leave()
                self._process = None

    def _sign_on(self) -> Process:
        # Read before the statement is sent: the lease must not seem longer than it is.
        began = clock.steady()
        self._process = Process.join(
            Role.WORKER,
            using=self._using,
            now=clock.now(self._using),
            lease=conf.get_settings().lease,
            queues=self._queues,
            slots=self._slots,
            problem=self._problem,
            problem_since=self._problem_since,
        )
        self._note(self._process, began)
        parent_pipe.tell_parent(self._process.pk)
        return self._process

    def _note(self, process: Process, began: float) -> None:
        self._held = process.pk, began + conf.get_settings().lease_seconds


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
        """Store why the worker cannot start functions: see `Lease.report`."""
        await self._database.run(self._lease.report, problem)

    async def _renew(self) -> float:
        await self._database.run(self._lease.renew)
        if not self._is_stopping() and await self._database.run(self._lease.is_to_drain):
            logger.info("Drain requested; stopping when all current runs finish")
            self._drain()
        return conf.get_settings().lease_seconds / 4
