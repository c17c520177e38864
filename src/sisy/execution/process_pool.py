"""The pool of child processes: for CPU-bound work and hard timeouts."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

from sisy.execution.child_process import ChildProcess, NoChild
from sisy.execution.pool import SlotPool, needing_a_thread
from sisy.execution.run_handle import RunHandle
from sisy.records.outcome import NotCalled, Outcome
from sisy.runtime.log import logger
from sisy.runtime.threads import THREAD_END_TIMEOUT, DaemonThreads

MEGABYTE = 1_000_000


class ProcessPool(SlotPool):
    """Executes up to ``slots`` concurrent runs, each in a child process.

    A child starts when it is needed, and executes one run after another. It is killed if a run
    exceeds its timeout by a second, if a run is force cancelled, or if its worker ends for any
    reason. If a child dies by itself, its run is lost, and the slot gets a new child.

    Args:
        now: returns the current time.
        max_runs_per_child: the number of runs after which a child is replaced; None for no limit.
        max_memory_per_child: the megabytes above which a child is replaced after a run; None for
            no limit.
    """

    def __init__(
        self,
        slots: int,
        now: Callable[[], datetime],
        *,
        max_runs_per_child: int | None = None,
        max_memory_per_child: int | None = None,
    ) -> None:
        super().__init__(slots, now)
        self._max_runs = max_runs_per_child
        self._max_memory = max_memory_per_child
        self._keepers = DaemonThreads("sisy-keeper")
        self._idle: list[ChildProcess] = []
        self._children: set[ChildProcess] = set()
        # Dismissed children that have not exited yet. A child is killed when its handle is
        # garbage-collected, and could not close its connections.
        self._leaving: list[ChildProcess] = []
        self._lock = threading.Lock()
        self._is_closed = False

    def warm_up(self) -> None:
        """Start a child, if none is ready; see `Pool.warm_up`."""
        with needing_a_thread():
            self._keepers.warm_up()
        self._put_back(self._child())

    def close(self) -> None:
        """Kill the children that execute runs, and dismiss the others."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
            busy = self._children.difference(idle)
            self._children.clear()
        for child in busy:
            child.kill()
        for child in idle:
            child.leave()
        self._keepers.shutdown(wait=False)
        self._keepers.join(THREAD_END_TIMEOUT)
        deadline = time.monotonic() + THREAD_END_TIMEOUT
        for child in [*busy, *idle]:
            child.has_ended(max(0.0, deadline - time.monotonic()))

    def _begin(self, handle: RunHandle) -> None:
        with needing_a_thread():
            self._keepers.start(partial(self._execute, handle))

    def _execute(self, handle: RunHandle) -> None:
        ended = self._outcome_of(handle) if handle.may_begin else None
        self._keepers.release()
        # After `close`, the worker hands the run over to other workers.
        if not self._is_closed:
            self._slots.end(handle)
            handle.report(ended)

    def _outcome_of(self, handle: RunHandle) -> Outcome | NotCalled:
        handle.begin()
        try:
            child = self._child()
            try:
                return child.execute(handle)
            finally:
                self._put_back(child)
        except NoChild as error:
            if handle.cancel_reason is not None:
                return handle.was_cancelled()
            return NotCalled(reason=f"{error}.")
        except BaseException as error:  # noqa: BLE001 - a run that cannot be pickled, above all
            return handle.raised(error)

    def _child(self) -> ChildProcess:
        while child := self._idle_child():
            if child.is_usable:
                return child
            self._forget(child)
        child = ChildProcess()
        with self._lock:
            self._children.add(child)
            if self._is_closed:
                child.kill()
        try:
            child.begin()
        except NoChild:
            self._forget(child)
            raise
        return child

    def _forget(self, child: ChildProcess) -> None:
        with self._lock:
            self._children.discard(child)

    def _idle_child(self) -> ChildProcess | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _put_back(self, child: ChildProcess) -> None:
        """Keep a child for the next run, or dismiss it if it is over its limits or dead."""
        has_had_enough = self._has_had_enough(child)
        with self._lock:
            if self._is_closed:
                return
            if child.is_usable and not has_had_enough:
                self._idle.append(child)
                return
            self._children.discard(child)
            self._leaving = [one for one in self._leaving if not one.has_ended()]
            self._leaving.append(child)
        child.leave()

    def _has_had_enough(self, child: ChildProcess) -> bool:
        if self._max_memory is not None and child.memory > self._max_memory * MEGABYTE:
            logger.info(
                "Replacing child process %s, which uses %d MB", child.pid, child.memory // MEGABYTE
            )
            return True
        return self._max_runs is not None and child.runs >= self._max_runs
