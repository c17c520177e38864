"""The lease by which a worker holds its runs."""

import threading
from datetime import datetime

from sisy import clock, conf, parent_pipe
from sisy.log import logger
from sisy.models import Process, Role, Run


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
        self._problem = ""
        self._problem_since: datetime | None = None
        self._held: tuple[int, float] | None = None  # by whom, and until when on the steady clock

    def process(self) -> Process:
        """Return the worker's process, which signs on if it has not done so yet."""
        with self._lock:
            return self._process or self._sign_on()

    def renew(self) -> Process:
        """Renew the lease; begin a new one, under a new name, if it was taken away."""
        with self._lock:
            process = self._process
            if process is None:
                return self._sign_on()
            began = clock.steady()
            if not process.renew(clock.now(self._using), conf.get_settings().lease):
                logger.warning("%s lost its lease; other workers may run its runs again", process)
                return self._sign_on()
            self._note(process, began)
            return process

    def is_to_drain(self) -> bool:
        """Return whether somebody wants the worker to end once its runs have."""
        process = self._process
        return process is not None and process.is_drain_requested()

    def report(self, problem: str) -> None:
        """Store what keeps the worker from calling functions; an empty text if nothing does.

        It is stored again wherever the worker signs on anew.
        """
        with self._lock:
            if not problem:
                logger.info("%s claims runs again", self._process)
                self._problem_since = None
            elif not self._problem:
                logger.error(
                    "%s claims no runs, because it cannot start functions: %s",
                    self._process,
                    problem,
                )
                self._problem_since = clock.last_known(self._using)
            self._problem = problem
            if self._process is not None:
                self._process.note_problem(problem, self._problem_since)

    def surely_holds(self, run: Run) -> bool:
        """Return whether nobody can have taken ``run`` over; callable from any thread, at once.

        After a pause, of the process or of the whole host, others may carry it out already.
        """
        held = self._held
        return held is not None and run.process_id == held[0] and clock.steady() < held[1]

    def end(self) -> None:
        """Sign off: who held runs by this lease must have handed them back."""
        with self._lock:
            if self._process is not None:
                self._process.leave()
                self._process = None

    def _sign_on(self) -> Process:
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
