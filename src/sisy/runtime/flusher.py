"""Passes on what runs print and report, a few times a second, in a thread of its own."""

import contextvars
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from django.db import connections

from sisy.runtime.journal import Journal, Report
from sisy.runtime.log import Outage

FLUSH_INTERVAL = 0.5  # seconds between two flushes
FLUSH_DELAY = 0.25  # seconds before each flush
RETRY_INTERVAL = 2.0  # seconds after a flush that failed
END_TIMEOUT = 1.0  # seconds for a flush to end

Reports = Sequence[tuple[Any, Report]]
"""Runs, each with all that its attempt has reported so far."""


class Flusher:
    """Passes on what is new in journals. Starts its thread when the first one notes something.

    What it has not passed on when a run ends is in the outcome of the run.

    Args:
        write: stores the reports, or sends them on.
        begin: called in the thread first.
        interval: the seconds between two flushes.
    """

    def __init__(
        self,
        write: Callable[[Reports], None],
        begin: Callable[[], None] | None = None,
        interval: float = FLUSH_INTERVAL,
    ) -> None:
        self._write = write
        self._begin = begin
        self._interval = interval
        # A SimpleQueue may be used in a signal handler that interrupts its own method.
        self._noted: SimpleQueue[Journal | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._ending = threading.Event()
        self._outage = Outage("Storing the output of runs")
        self._pid = os.getpid()

    def note(self, journal: Journal) -> None:
        """Pass on what is new in a journal soon. Never blocks."""
        # In a fork that a function has made, there is no thread, and nothing to pass on.
        if os.getpid() != self._pid:
            return
        self._noted.put(journal)
        if self._thread is None and self._starting.acquire(blocking=False):
            try:
                self._start()
            finally:
                self._starting.release()

    def close(self) -> None:
        """End the thread. A flush that hangs ends with the process."""
        self._ending.set()
        self._noted.put(None)
        if self._thread is not None:
            self._thread.join(END_TIMEOUT)

    def flush(self, journals: Iterable[Journal]) -> None:
        """Pass on what is new in journals."""
        taken = [(journal, journal.take()) for journal in journals]
        new = [(journal, report) for journal, report in taken if report is not None]
        if not new:
            return
        try:
            self._write([(journal.run, report) for journal, report in new])
        except Exception as error:  # noqa: BLE001 - whatever it is, the runs continue
            self._outage.failed(error, "retrying; the runs continue")
            self._ending.wait(RETRY_INTERVAL)
            for journal, _ in new:
                journal.put_back()
        else:
            self._outage.recovered()

    def _start(self) -> None:
        if self._thread is not None or self._ending.is_set():
            return
        thread = threading.Thread(target=self._serve, name="sisy-output", daemon=True)
        try:
            # In a context of its own: what the thread logs is not the output of a run.
            contextvars.Context().run(thread.start)
        except RuntimeError:  # the system has no more threads; the output comes with the outcome
            return
        self._thread = thread

    def _serve(self) -> None:
        if self._begin is not None:
            self._begin()
        try:
            while (first := self._noted.get()) is not None:
                began = time.monotonic()
                noted = self._with_others(first)
                # A run that ends in the meantime has its output in its outcome, and needs no
                # flush.
                self._ending.wait(FLUSH_DELAY)
                self.flush(noted)
                self._ending.wait(max(0.0, self._interval - (time.monotonic() - began)))
        finally:
            connections.close_all()

    def _with_others(self, first: Journal) -> list[Journal]:
        """Return all journals that wait, without duplicates."""
        waiting = {first: None}
        while True:
            try:
                journal = self._noted.get_nowait()
            except Empty:
                return list(waiting)
            if journal is None:
                self._noted.put(None)
                return list(waiting)
            waiting[journal] = None
