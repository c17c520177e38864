"""The lease by which a worker holds its runs."""

import threading

from sisy import clock, conf, lifeline
from sisy.log import logger
from sisy.models import Process, Role


class Lease:
    """Keeps a worker on the books, and puts it there again if it was taken for dead.

    Two threads use it: one renews it in time, whatever the other one is busy with, which claims.
    """

    def __init__(self, using: str, queues: tuple[str, ...], slots: int) -> None:
        self._using = using
        self._queues = queues
        self._slots = slots
        self._lock = threading.Lock()
        self._process: Process | None = None

    def holder(self) -> Process:
        """Return the worker's process, which signs on if it has not done so yet."""
        with self._lock:
            return self._process or self._sign_on()

    def renew(self) -> Process:
        """Renew the lease; begin a new one, under a new name, if it was taken away."""
        with self._lock:
            process = self._process
            if process is None:
                return self._sign_on()
            if not process.renew(clock.now(self._using), conf.get_settings().lease):
                logger.warning("%s lost its lease; what it carries out may be run again", process)
                return self._sign_on()
            return process

    def end(self) -> None:
        """Sign off: who held runs by this lease must have handed them back."""
        with self._lock:
            if self._process is not None:
                self._process.leave()
                self._process = None

    def _sign_on(self) -> Process:
        self._process = Process.join(
            Role.WORKER,
            using=self._using,
            now=clock.now(self._using),
            lease=conf.get_settings().lease,
            queues=self._queues,
            slots=self._slots,
        )
        lifeline.tell_parent(self._process.pk)
        return self._process
