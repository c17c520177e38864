"""The lease by which a process is registered, and the fence that protects its runs.

A dead worker looks the same as a slow one: it is silent. So each worker, heartbeat and engine
promises, in the row of its `Process`, to renew its lease before ``lease_until``:

    registered --renew, each quarter of a lease--> registered
        |
        +-- lease_until passes, or the parent reports the death --> expired
                |
                +-- a heartbeat takes its runs and stores its end --> ended
                |        |
                |        +-- the process is alive after all --> registered under a new key
                +-- the process renews first --> registered

A renewal is an UPDATE of the process's own row. If it matches no row, the process was declared
dead, and its runs may be running elsewhere. It registers again as a new process with a new key.

The fence follows from that key. Every statement with which a worker changes a run repeats the
process, the attempt and the state that the worker last saw (``RunQuerySet.held``). A worker that
was suspended and wakes up, a zombie, holds an old key: its UPDATE matches nothing, and its outcome
is discarded. The fence protects only the ledger. It cannot undo what a zombie's function does to
the outside world, so functions must be safe to run twice.

The steady clock of the host adds a cheap local check: `Lease.surely_holds` refuses to start a run
that was claimed before a long pause, without asking the database.
"""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sisy import clock, conf
from sisy.models.process import Process
from sisy.records.choices import Role
from sisy.runtime import parent_pipe
from sisy.runtime.log import logger
from sisy.store.isolation import past_deadlocks

if TYPE_CHECKING:
    from sisy.models.run import Run

RENEWALS = 4
"""The number of renewals in the length of a lease."""

OnRenewal = Callable[[str, bool], None]
"""Receives the alias of the database, and whether the lease has ended."""

_on_renewals: list[OnRenewal] = []


def call_at_renewals(call: OnRenewal) -> None:
    """Call a function after each renewal of a lease, and after its end.

    It is called in the thread that renews the lease, so it must not block, and must not raise.
    """
    if call not in _on_renewals:
        _on_renewals.append(call)


class Lease:
    """Registers this process, renews its lease, and registers it again if it was declared dead.

    Thread-safe: one thread may use the process while another one renews its lease.

    Args:
        using: the alias of the database.
        columns: further columns of the process's row: see `Process.join`.
    """

    def __init__(self, role: Role, using: str, **columns: Any) -> None:
        self._role = role
        self._using = using
        self._columns = columns
        self._lock = threading.Lock()
        self._process: Process | None = None
        # The key of the process, and until when it surely holds its lease, by the steady clock.
        self._held: tuple[int, float] | None = None

    def process(self) -> Process:
        """Return the process. Register it if necessary."""
        with self._lock:
            return self._process or self._register()

    def keep(self) -> Process:
        """Return the process, and renew its lease if a quarter of it is gone."""
        with self._lock:
            process, lease = self._process, conf.get_settings().lease
            if process is not None:
                left = process.lease_until - clock.now(self._using)
                # No lease is that long, so this one was taken before the clock was set back.
                if lease - lease / RENEWALS < left <= lease:
                    return process
            process = self._renew()
        self._call_hooks()
        return process

    def renew(self) -> Process:
        """Renew the lease now. Register again, as a new process, if the lease was lost."""
        with self._lock:
            process = self._renew()
        self._call_hooks()
        return process

    def note_problem(self, problem: str) -> None:
        """Store why the process cannot start runs; an empty text if it can.

        The problem stays stored if the process has to register again.
        """
        with self._lock:
            process = self._process or self._register()
            since = process.problem_since or clock.last_known(self._using)
            process.note_problem(problem, since if problem else None)

    def surely_holds(self, run: "Run") -> bool:
        """Return whether ``run`` certainly still belongs to this process.

        Thread-safe; never blocks.
        """
        # After a pause of the process or of the whole host, another worker may be executing it.
        held = self._held
        return held is not None and run.process_id == held[0] and clock.steady() < held[1]

    @property
    def is_registered(self) -> bool:
        """Return whether the process was registered and has not ended."""
        return self._process is not None

    def end(self) -> None:
        """Unregister the process. Release its runs first. If it fails, the lease will expire."""
        with self._lock:
            process, self._process = self._process, None
            try:
                if process is not None:
                    past_deadlocks(process.leave)
            except Exception as error:  # noqa: BLE001 - the process ends in any case
                logger.info("Could not unregister (%s); the lease will expire", error)
        if process is not None:
            self._call_hooks(is_over=True)

    def _call_hooks(self, *, is_over: bool = False) -> None:
        for call in _on_renewals:
            call(self._using, is_over)

    def _renew(self) -> Process:
        process = self._process
        if process is None:
            return self._register()
        began = clock.steady()
        if process.renew(clock.now(self._using), conf.get_settings().lease):
            return self._note(process, began)
        others = "; other workers may rerun its runs" if process.slots else ""
        logger.warning("%s lost its lease and is registering again%s", process, others)
        return self._register()

    def _register(self) -> Process:
        # Read before the statement is sent: the lease must not seem longer than it is.
        began = clock.steady()
        columns = dict(self._columns)
        if (lost := self._process) is not None:
            columns.update(problem=lost.problem, problem_since=lost.problem_since)
        process = Process.join(
            self._role,
            using=self._using,
            now=clock.now(self._using),
            lease=conf.get_settings().lease,
            **columns,
        )
        parent_pipe.report_to_parent(process.pk)
        return self._note(process, began)

    def _note(self, process: Process, began: float) -> Process:
        self._process = process
        self._held = process.pk, began + conf.get_settings().lease_seconds
        return process
