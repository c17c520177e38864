"""Inside a child process: carries out the runs that its worker sends, one at a time."""

import os
import pickle
import sys
import threading
import time
from contextlib import suppress
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from sisy.execution.child_protocol import CANNOT_TELL, Cancel, CarryOut, Done, Leave
from sisy.execution.outcome import NotCalled, Outcome, of_error
from sisy.execution.thread_pool import ThreadPool
from sisy.frames import Garbled, Reader, Writer

if TYPE_CHECKING:
    from sisy.models import Run

TIME_TO_LEAVE = 3.0  # seconds


class Child:
    """Has a pool of one thread, so that functions are called as they are without processes.

    The main thread listens, so that it hears of a cancellation while a function goes on.

    Args:
        taken: is set to the number of the order that it takes in hand.
    """

    def __init__(self, to_worker: Connection, taken: Any) -> None:
        self._from_worker = Reader(to_worker)
        self._to_worker = Writer(to_worker)
        self._taken = taken
        self._clock = CarriedOn()
        self._pool = ThreadPool(1, self._clock.now)

    def listen(self) -> None:
        """Do what the worker says, until it lets the child go or is gone."""
        self._to_worker.send("")
        with suppress(EOFError, OSError, Garbled):
            while not isinstance(order := self._order(), Leave):
                if isinstance(order, CarryOut):
                    # Before anything of the run is looked at: what ends the child from here on
                    # may be the fault of the run.
                    self._taken.value = order.number
                    self._clock.set(order.now)
                    self._carry_out(order.run)
                elif isinstance(order, Cancel):
                    self._pool.cancel(order.run_id, order.reason)

    def close(self) -> None:
        """Close the connections to databases."""
        self._pool.close()

    def _order(self) -> Any:
        while (order := self._from_worker.word()) is None:
            self._from_worker.read()
        return order

    def _carry_out(self, pickled: bytes) -> None:
        try:
            run: Run = pickle.loads(pickled)
        except BaseException as error:  # noqa: BLE001 - the worker waits for an outcome
            now = self._clock.now()
            self._tell(None, Outcome(started_at=now, finished_at=now, **of_error(error)))
        else:
            self._pool.carry_out(run, self._tell)

    def _tell(self, run: "Run | None", outcome: Outcome | NotCalled | None) -> None:
        """Tell how a run ended, or end: a child that cannot tell would keep its slot for ever."""
        try:
            assert isinstance(outcome, Outcome)  # whatever it is sent may begin
            self._to_worker.send(Done(outcome.without_exception(), resident_memory()))
        except BaseException:  # noqa: BLE001 - see above
            os._exit(CANNOT_TELL)


class CarriedOn:
    """The worker's time, carried on in the child by the host's steady clock."""

    def set(self, now: datetime) -> None:
        self._read, self._moment = time.monotonic(), now

    def now(self) -> datetime:
        return self._moment + timedelta(seconds=time.monotonic() - self._read)


def serve(to_worker: Connection, taken: Any) -> None:
    """Serve, and end the process without waiting for threads that a function has left behind."""
    child = Child(to_worker, taken)
    child.listen()
    threading.Thread(target=_end_at_last, daemon=True).start()
    child.close()
    _end()


def resident_memory() -> int:
    """Return how many bytes of memory this process takes."""
    try:
        with open("/proc/self/statm") as pages:
            return int(pages.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        import resource  # where there is no /proc: the most that it has taken so far

        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else largest * 1024


def _end_at_last() -> None:
    time.sleep(TIME_TO_LEAVE)
    _end()


def _end() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(0)
