"""The thread pool: plain functions run in threads, async functions on an event loop."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from traceback import walk_tb
from typing import TYPE_CHECKING

from sisy.execution.async_call import AsyncCall
from sisy.execution.call import GuardedThreads, Pending, call, call_bare, cancel_lent, lend_loop
from sisy.execution.outcome import Outcome
from sisy.execution.pool import Slots, needing_a_thread
from sisy.execution.run_handle import Ended, MayBegin, RunHandle, always
from sisy.runtime import current
from sisy.runtime.compat import closes_a_generator, context_value, handle_of
from sisy.runtime.current import CurrentRun
from sisy.runtime.log import logger
from sisy.runtime.loop import Inbox
from sisy.runtime.threads import TIME_TO_END, DaemonThreads, LoopOnDemand, LoopThread
from sisy.runtime.user_errors import name_of

if TYPE_CHECKING:
    from sisy.models import Run


def run_behind(error: BaseException) -> CurrentRun | None:
    """Return the run whose task or callback raised ``error``; None if it cannot be found."""
    for frame, _ in walk_tb(error.__traceback__):
        handle = handle_of(frame)
        if handle is not None:
            # Python closes an unreferenced generator in the context of whatever runs at the time.
            if closes_a_generator(handle):
                return None
            run: CurrentRun | None = context_value(handle, current.variable)
            return run
    return None


Begun = tuple[Pending | None, RunHandle]
"""A run and what to await; None if its function must be called first."""

Call = Callable[[RunHandle], Outcome | Pending]


class ThreadPool:
    """Executes up to ``slots`` runs: plain functions in threads, async functions on a loop.

    A cancel request cancels an async function. A plain function notices it at its next
    ``current_run().check()``. Force has no further effect, because threads cannot be killed.

    An exception ends only its own run, never a thread or a loop of the pool, even SystemExit or
    KeyboardInterrupt in a task or callback.

    Args:
        now: returns the current time.
    """

    # The event loop belongs to the pool. An async function that blocks it delays other async
    # functions, but not plain functions, the worker's lease or the web server around it. What a
    # plain function calls by ``async_to_sync`` runs in a loop of its own thread.

    def __init__(self, slots: int, now: Callable[[], datetime]) -> None:
        self._now = now
        self._loops: list[LoopOnDemand] = []
        self._threads = DaemonThreads(slots, "sisy-run", self._begin_thread)
        self._awaiting = LoopThread("sisy-run-async", self._end_run_behind, GuardedThreads())
        self._to_await: Inbox[Begun] = Inbox(self._awaiting.loop, self._await_all)
        self._async_paths: set[str] = set()
        self._slots = Slots(slots, self._begin)

    def carry_out(self, run: "Run", ended: Ended, may_begin: MayBegin = always) -> None:
        """Execute ``run`` when a slot is free; see `Pool.carry_out`."""
        self._slots.take(RunHandle(run, self._now, ended, may_begin))

    def warm_up(self) -> None:
        """Start a thread for plain functions, if none is ready; see `Pool.warm_up`."""
        with needing_a_thread():
            self._threads.warm_up()

    def withdraw(self, run_id: int) -> bool:
        """Remove a run that has not started; see `Pool.withdraw`."""
        return self._slots.withdraw(run_id)

    def cancel(self, run_id: int, reason: str, *, by_force: bool = False) -> bool:
        """Ask a run to stop; see `Pool.cancel`.

        By force, an async function that suppressed the first cancellation is cancelled again.
        """
        return self._slots.cancel(run_id, reason, by_force)

    def close(self) -> None:
        """Accept no more runs, cancel async functions, and ask plain functions to stop.

        Plain functions that do not stop end with the process. Outcomes may still be reported.
        """
        self._slots.close("Its worker stopped.")
        self._threads.shutdown(wait=False)
        self._awaiting.close(TIME_TO_END)
        for loop in self._loops:
            loop.close(TIME_TO_END)
        self._threads.join(TIME_TO_END)

    def _begin(self, going: RunHandle) -> None:
        if going.run.target_path in self._async_paths:
            self._to_await.put((None, going))
        else:
            with needing_a_thread():
                self._threads.start(partial(self._call, going))

    def _call(self, going: RunHandle) -> None:
        """Call the function, and then the functions of the runs that wait for this slot."""
        # In the same thread, because waking another one costs more.
        while True:
            how = self._called(going, call) if going.may_begin else None
            if isinstance(how, Pending):
                self._threads.release()
                # From now on, the loop calls this function directly.
                if not how.needs_thread:
                    self._async_paths.add(going.run.target_path)
                self._to_await.put((how, going))
                return
            following = self._slots.pass_on(going)
            # Release the thread before the report: the worker may submit the next run at once,
            # and would otherwise start another thread for it.
            if following is None:
                self._threads.release()
            going.report(how)
            if following is None:
                return
            going = following

    def _called(self, going: RunHandle, call_it: Call) -> Outcome | Pending:
        going.begin()
        try:
            return call_it(going)
        except BaseException as error:  # noqa: BLE001 - a run without an outcome keeps its slot
            return going.raised(error)

    def _await_all(self, begun: list[Begun]) -> None:
        for pending, going in begun:
            how: Outcome | Pending | None = pending
            if how is None and going.may_begin:
                how = self._called(going, call_bare)
            if isinstance(how, Pending):
                self._await(how, going)
            else:
                self._end(going, how)

    def _await(self, pending: Pending, going: RunHandle) -> None:
        try:
            AsyncCall(pending, going, partial(self._end, going))
        except BaseException as error:  # noqa: BLE001 - a function may have set a task factory
            pending.close()
            self._end(going, going.raised(error))

    def _end(self, going: RunHandle, outcome: Outcome | None) -> None:
        self._slots.end(going)
        going.report(outcome)

    def _begin_thread(self) -> None:
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
        name, run = name_of(error), run_behind(error)
        if run is None:
            logger.error(
                "An unknown asyncio task or callback raised %s; no run fails because of it, and "
                "the event loop continues",
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
