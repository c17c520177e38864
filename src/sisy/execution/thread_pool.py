"""The pool of threads: plain functions each in a thread, async ones on a loop."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from sisy.execution.async_call import AsyncCall
from sisy.execution.call import (
    GuardedThreads,
    Pending,
    call,
    call_bare,
    cancel_lent,
    lend_loop,
)
from sisy.execution.escaping import run_behind
from sisy.execution.outcome import Outcome
from sisy.execution.pool import needing_a_thread
from sisy.execution.run_handle import Ended, MayBegin, RunHandle, always
from sisy.execution.slots import Slots
from sisy.foreign_errors import name_of
from sisy.inbox import Inbox
from sisy.log import logger
from sisy.threads import TIME_TO_END, DaemonThreads, LoopOnDemand, LoopThread

if TYPE_CHECKING:
    from sisy.models import Run

Begun = tuple[Pending | None, RunHandle]
"""What is to be awaited; None if it is still to be called."""

Call = Callable[[RunHandle], Outcome | Pending]


class ThreadPool:
    """Carries out up to ``slots`` plain functions in threads, async ones on a loop.

    That loop is the pool's own: an async function that blocks it holds up other async functions,
    but neither plain ones, nor the worker's leases, nor the web server around it. What a plain
    function calls by ``async_to_sync`` runs in a loop of its thread, and holds up nobody else.

    A request to end cancels an async function; a plain one meets it at its next
    ``current_run().check()``. No thread can be killed: force is of no more effect.

    What a function raises ends its own run, never a thread or a loop of the pool. That includes
    SystemExit and KeyboardInterrupt in any task or callback.
    """

    def __init__(self, slots: int, now: Callable[[], datetime]) -> None:
        self._now = now
        self._loops: list[LoopOnDemand] = []
        self._threads = DaemonThreads(slots, "sisy-run", self._begin_thread)
        self._awaiting = LoopThread("sisy-run-async", self._end_run_behind, GuardedThreads())
        self._to_await: Inbox[Begun] = Inbox(self._awaiting.loop, self._await_all)
        self._async_paths: set[str] = set()
        self._slots = Slots(slots, self._begin)

    def carry_out(self, run: "Run", ended: Ended, may_begin: MayBegin = always) -> None:
        """Take ``run`` in hand; see `Pool.carry_out`."""
        self._slots.take(RunHandle(run, self._now, ended, may_begin))

    def warm_up(self) -> None:
        """Have a thread for plain functions; see `Pool.warm_up`."""
        with needing_a_thread():
            self._threads.warm_up()

    def withdraw(self, run_id: int) -> bool:
        """Take back a run that has not begun; see `Pool.withdraw`."""
        return self._slots.withdraw(run_id)

    def cancel(self, run_id: int, reason: str, *, by_force: bool = False) -> bool:
        """Ask a run to end, and return whether it is in hand; see `Pool.cancel`.

        By force, an async function that did not let the first cancellation through is cancelled
        once more.
        """
        return self._slots.cancel(run_id, reason, by_force)

    def close(self) -> None:
        """Take no more runs; of those that still go on, some may still be heard.

        Async functions are cancelled; others are asked to end, and else end with the process.
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
        """Call one function after the other in this thread: to wake another one costs more."""
        while True:
            how = self._called(going, call) if going.may_begin else None
            if isinstance(how, Pending):
                self._threads.release()
                if not how.needs_thread:  # from now on, the loop calls it
                    self._async_paths.add(going.run.target_path)
                self._to_await.put((how, going))
                return
            following = self._slots.pass_on(going)
            if following is None:
                self._threads.release()  # first, so that what follows from this begins no other
            going.report(how)
            if following is None:
                return
            going = following

    def _called(self, going: RunHandle, call_it: Call) -> Outcome | Pending:
        going.begin()
        try:
            return call_it(going)
        except BaseException as error:  # noqa: BLE001 - a run without an end would keep its slot
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
        except BaseException as error:  # noqa: BLE001 - a task factory that a function has set
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
        """End the run behind an error that has left the loop of one thread."""
        if self._end_run_behind(loop, error):
            cancel_lent(loop)

    def _end_run_behind(self, loop: asyncio.AbstractEventLoop, error: BaseException) -> bool:
        """End the run behind an error that has left a loop; return whether one is in hand."""
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
