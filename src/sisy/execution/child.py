"""The code inside a child process: execute the runs that the worker sends, one at a time."""

import os
import pickle
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from sisy.execution.child_protocol import (
    EXIT_CANNOT_REPORT,
    Cancel,
    Done,
    Execute,
    Exit,
    InvalidData,
    Reader,
    ReportSoFar,
    Writer,
)
from sisy.execution.thread_pool import ThreadPool
from sisy.records.outcome import NotCalled, Outcome, of_error
from sisy.runtime.capture import capturing
from sisy.runtime.flusher import Flusher, Reports
from sisy.runtime.process_exit import exit_now, take_last_steps

if TYPE_CHECKING:
    from sisy.records.run import RunRecord

REPORT_INTERVAL = 0.25  # seconds between two reports of a run to the worker, which stores them
EXIT_TIMEOUT = 3.0  # seconds to close connections before the process exits anyway


class Child:
    """Executes runs in a thread pool of one slot.

    Args:
        accepted_order: shared memory for the number of the last order that the child accepted.
    """

    # A thread pool, so that functions are called in the same way as in a worker without child
    # processes. The main thread listens, so that a cancel request arrives while a function runs.
    def __init__(self, to_worker: Connection, accepted_order: Any) -> None:
        self._from_worker = Reader(to_worker)
        self._to_worker = Writer(to_worker)
        self._accepted_order = accepted_order
        self._clock = WorkerClock()
        self._pool = ThreadPool(1, self._clock.now)
        # Not to the database: a fleet of children would need a connection each.
        self._flusher = Flusher(self._send_reports, interval=REPORT_INTERVAL)
        self._running: RunRecord | None = None
        self._sending = threading.Lock()
        self._pool.noted = self._flusher.note

    def listen(self) -> None:
        """Execute the worker's orders until it dismisses the child or is gone."""
        self._to_worker.send("")
        with suppress(EOFError, OSError, InvalidData):
            while not isinstance(order := self._order(), Exit):
                if isinstance(order, Execute):
                    # Before the child reads anything of the run. If the child dies from here on,
                    # the run may be the cause.
                    self._accepted_order.value = order.number
                    self._clock.set(order.now)
                    self._execute(order.run)
                elif isinstance(order, Cancel):
                    self._pool.cancel(order.run_id, order.reason)

    def close(self) -> None:
        """Close the connections to databases."""
        self._flusher.close()
        self._pool.close()

    def _order(self) -> Any:
        while (order := self._from_worker.next_message()) is None:
            self._from_worker.read()
        return order

    def _execute(self, pickled: bytes) -> None:
        try:
            run: RunRecord = pickle.loads(pickled)
        except BaseException as error:  # noqa: BLE001 - the worker waits for an outcome
            now = self._clock.now()
            self._report(None, of_error((now, now), error))
        else:
            self._running = run
            self._pool.execute(run, self._report)

    def _send_reports(self, reports: Reports) -> None:
        """Send the worker what the run has printed so far."""
        # Never after the outcome: a worker takes an idle child that sends something for dead.
        with self._sending:
            for run, report in reports:
                if run is self._running:
                    self._to_worker.send(ReportSoFar(report))

    def _report(self, run: "RunRecord | None", outcome: Outcome | NotCalled | None) -> None:
        """Send the outcome of a run to the worker, or exit."""
        try:
            assert isinstance(outcome, Outcome)  # never None: a child does not use may_begin
            with self._sending:
                self._running = None
            self._to_worker.send(Done(outcome.without_exception(), resident_memory()))
        except BaseException:  # noqa: BLE001 - a child that cannot report keeps its slot forever
            os._exit(EXIT_CANNOT_REPORT)


class WorkerClock:
    """The worker's time, carried forward by the host's steady clock."""

    def set(self, now: datetime) -> None:
        self._read, self._moment = time.monotonic(), now

    def now(self) -> datetime:
        return self._moment + timedelta(seconds=time.monotonic() - self._read)


def serve(to_worker: Connection, accepted_order: Any) -> None:
    """Execute runs until dismissed, and exit. Does not wait for threads that functions started."""
    child = Child(to_worker, accepted_order)
    with capturing():
        child.listen()
    at_last = threading.Timer(EXIT_TIMEOUT, exit_now)
    at_last.daemon = True
    at_last.start()
    child.close()
    take_last_steps()
    exit_now()


def resident_memory() -> int:
    """Return the resident memory of this process in bytes."""
    try:
        with open("/proc/self/statm") as pages:
            return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        # Without /proc, only the maximum so far is known.
        import resource

        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else largest * 1024
