"""The thread pool: plain functions run in threads, async functions on an event loop."""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from traceback import walk_tb

from sisy.execution.async_call import AsyncCall
from sisy.execution.call import (
    AwaitableResult,
    GuardedThreads,
    call_here,
    call_in_idle_thread,
    call_in_thread,
    cancel_lent,
)
from sisy.execution.pool import SlotPool, needing_a_thread
from sisy.execution.run_handle import RunHandle
from sisy.records.outcome import Outcome
from sisy.runtime import current
from sisy.runtime.compat import closes_a_generator, context_value, handle_of, lend_loop
from sisy.runtime.current import CurrentRun
from sisy.runtime.log import logger
from sisy.runtime.loop import Inbox
from sisy.runtime.threads import THREAD_END_TIMEOUT, DaemonThreads, LoopOnDemand, LoopThread
from sisy.runtime.user_errors import name_of

Started = tuple[AwaitableResult | None, RunHandle]
"""A run and what to await; None if its function must be called first."""

Call = Callable[[RunHandle], Outcome | AwaitableResult]


class ThreadPool(SlotPool):
    """Executes up to ``slots`` runs: plain functions in threads, async functions on a loop.

    A cancel request cancels an async function, and a forced one cancels it again if it suppressed
    the first. A plain function notices it at its next ``current_run().check()``. Force has no
    further effect, because threads cannot be killed.

    An exception ends only its own run, never a thread or a loop of the pool, even SystemExit or
    KeyboardInterrupt in a task or callback.

    Args:
        now: returns the current time.
    """

    # The event loop belongs to the pool. An async function that blocks it delays other async
    # functions, but not plain functions, the worker's lease or the web server around it. What a
    # plain function calls by ``async_to_sync`` runs in a loop of its own thread.

    def __init__(self, slots: int, now: Callable[[], datetime]) -> None:
        super().__init__(slots, now)
        self._loops: list[LoopOnDemand] = []
        self._threads = DaemonThreads("sisy-run", begin=self._begin_thread)
        self._awaiting = LoopThread("sisy-run-async", self._end_run_behind, GuardedThreads())
        self._to_await: Inbox[Started] = Inbox(self._awaiting.loop, self._await_all)
        self._async_paths: set[str] = set()

    def warm_up(self) -> None:
        """Start a thread for plain functions, if none is ready; see `Pool.warm_up`."""
        with needing_a_thread():
            self._threads.warm_up()

    def close(self) -> None:
        """Accept no more runs, cancel async functions, and ask plain functions to stop.

        Plain functions that do not stop end with the process. Outcomes may still be reported.
        """
        self._slots.close("Its worker stopped.")
        self._threads.shutdown(wait=False)
        loops: list[LoopThread | LoopOnDemand] = [self._awaiting, *self._loops]
        for loop in loops:
            loop.close(0.0)
        # Wait for all of them together: there may be hundreds, and each may hang. Meanwhile, the
        # worker renews no lease.
        deadline = time.monotonic() + THREAD_END_TIMEOUT
        for loop in loops:
            loop.join(max(0.0, deadline - time.monotonic()))
        self._threads.join(max(0.0, deadline - time.monotonic()))

    def _begin(self, handle: RunHandle) -> None:
        if handle.run.target_path in self._async_paths:
            self._to_await.put((None, handle))
        else:
            with needing_a_thread():
                self._threads.start(partial(self._call, handle))

    def _call(self, handle: RunHandle) -> None:
        """Call the function, and then the functions of the runs that wait for this slot."""
        call: Call = call_in_idle_thread
        # In the same thread, because waking another one costs more.
        while True:
            result = self._result_of(handle, call) if handle.may_begin else None
            if isinstance(result, AwaitableResult):
                self._threads.release()
                # From now on, the loop calls this function directly.
                if not result.needs_thread:
                    self._async_paths.add(handle.run.target_path)
                self._to_await.put((result, handle))
                return
            # Release the thread before its slot is free: the next run may start now, and would
            # otherwise start another thread.
            following = self._slots.pass_on(handle, self._threads.release)
            handle.report(result)
            if following is None:
                return
            handle, call = following, call_in_thread

    def _result_of(self, handle: RunHandle, call: Call) -> Outcome | AwaitableResult:
        handle.begin()
        try:
            return call(handle)
        except BaseException as error:  # noqa: BLE001 - a run without an outcome keeps its slot
            return handle.raised(error)

    def _await_all(self, begun: list[Started]) -> None:
        for pending, handle in begun:
            result: Outcome | AwaitableResult | None = pending
            if result is None and handle.may_begin:
                result = self._result_of(handle, call_here)
            if isinstance(result, AwaitableResult):
                self._await(result, handle)
            else:
                self._end(handle, result)

    def _await(self, pending: AwaitableResult, handle: RunHandle) -> None:
        try:
            AsyncCall(pending, handle, partial(self._end, handle))
        except BaseException as error:  # noqa: BLE001 - a function may have set a task factory
            pending.close()
            self._end(handle, handle.raised(error))

    def _end(self, handle: RunHandle, outcome: Outcome | None) -> None:
        self._slots.end(handle)
        handle.report(outcome)

    def _begin_thread(self) -> None:
        # Otherwise, asgiref creates a loop for each ``async_to_sync``. That takes a hundred times
        # as long, and the connections of a channel layer end with each loop. The threads do not
        # share one loop, because a function that blocks it would block the functions of all.
        loop = LoopOnDemand(
            "sisy-run-calls", escaped=self._end_call_behind, executor=GuardedThreads()
        )
        self._loops.append(loop)
        lend_loop(loop)

    def _end_call_behind(self, loop: asyncio.AbstractEventLoop, error: BaseException) -> None:
        """End the run whose error has left the loop of a thread."""
        if self._end_run_behind(loop, error):
            cancel_lent(loop)

    def _end_run_behind(self, loop: asyncio.AbstractEventLoop, error: BaseException) -> bool:
        """End the run whose error has left a loop. Return whether it was still running."""
        name, run = name_of(error), _run_behind(error)
        if run is None:
            logger.error(
                "An asyncio task or callback of an unknown run raised %s; no run fails, and the "
                "event loop continues",
                name,
                exc_info=error,
            )
        elif self._slots.break_off(run, error):
            logger.warning(
                "An asyncio task or callback of run %s raised %s; the run fails", run.id, name
            )
            return True
        else:
            logger.error(
                "An asyncio task or callback of run %s raised %s after the run ended; the event "
                "loop continues",
                run.id,
                name,
                exc_info=error,
            )
        return False


def _run_behind(error: BaseException) -> CurrentRun | None:
    """Return the run whose task or callback raised ``error``; None if it cannot be found."""
    for frame, _ in walk_tb(error.__traceback__):
        callback = handle_of(frame)
        if callback is not None:
            # Python closes an unreferenced generator in the context of whatever runs at the time.
            if closes_a_generator(callback):
                return None
            run: CurrentRun | None = context_value(callback, current.variable)
            return run
    return None
