"""The pool of threads: plain functions each in a thread, async ones on a loop."""

import inspect
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from sisy.enqueued.calling import function_of
from sisy.execution.awaiting import Awaited
from sisy.execution.calling import call, call_bare, lend_loop
from sisy.execution.going import Ended, Going, MayBegin, always
from sisy.execution.outcome import Outcome
from sisy.execution.pool import needing_a_thread
from sisy.execution.slots import Slots
from sisy.inbox import Inbox
from sisy.models import Run
from sisy.threads import TIME_TO_END, DaemonThreads, LoopOnDemand, LoopThread

Begun = tuple[Awaitable[object] | None, Going]
"""What is to be awaited; None if it is still to be called."""

Call = Callable[[Going], Outcome | Awaitable[object]]


class ThreadPool:
    """Carries out up to ``slots`` plain functions in threads, async ones on a loop.

    That loop is the pool's own: an async function that blocks it holds up other async functions,
    but neither plain ones, nor the worker's leases, nor the web server around it. What a plain
    function calls by ``async_to_sync`` runs in a loop of its thread, and holds up nobody else.

    A request to end cancels an async function; a plain one meets it at its next
    ``current_run().check()``. No thread can be killed: force is of no more effect.
    """

    def __init__(self, slots: int, now: Callable[[], datetime]) -> None:
        self._now = now
        self._loops: list[LoopOnDemand] = []
        self._threads = DaemonThreads(slots, "sisy-run", self._begin_thread)
        self._awaiting = LoopThread("sisy-run-async")
        self._to_await: Inbox[Begun] = Inbox(self._awaiting.loop, self._await_all)
        self._async_paths: set[str] = set()
        self._slots = Slots(slots, self._begin)

    def carry_out(self, run: Run, ended: Ended, may_begin: MayBegin = always) -> None:
        """Take ``run`` in hand; see `Pool.carry_out`."""
        self._slots.take(Going(run, self._now, ended, may_begin))

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

    def _begin(self, going: Going) -> None:
        if going.run.target_path in self._async_paths:
            self._to_await.put((None, going))
        else:
            with needing_a_thread():
                self._threads.start(partial(self._call, going))

    def _call(self, going: Going) -> None:
        """Call one function after the other in this thread: to wake another one costs more."""
        while True:
            how = self._called(going, call) if going.may_begin else None
            if isinstance(how, Awaitable):
                self._threads.release()
                self._note_async(going.run)
                self._to_await.put((how, going))
                return
            following = self._slots.pass_on(going)
            if following is None:
                self._threads.release()  # first, so that what follows from this begins no other
            going.report(how)
            if following is None:
                return
            going = following

    def _called(self, going: Going, call_it: Call) -> Outcome | Awaitable[object]:
        going.begin()
        try:
            return call_it(going)
        except BaseException as error:  # noqa: BLE001 - a run without an end would keep its slot
            return going.raised(error)

    def _note_async(self, run: Run) -> None:
        """From now on, let the loop call what needs no thread: it only makes a coroutine."""
        if run.target_pk is None and inspect.iscoroutinefunction(function_of(run)):
            self._async_paths.add(run.target_path)

    def _await_all(self, begun: list[Begun]) -> None:
        for awaitable, going in begun:
            how: Outcome | Awaitable[object] | None = awaitable
            if how is None and going.may_begin:
                how = self._called(going, call_bare)
            if isinstance(how, Awaitable):
                Awaited(how, going, partial(self._end, going))
            else:
                self._end(going, how)

    def _end(self, going: Going, outcome: Outcome | None) -> None:
        self._slots.end(going)
        going.report(outcome)

    def _begin_thread(self) -> None:
        loop = LoopOnDemand("sisy-run-calls")
        self._loops.append(loop)
        lend_loop(loop)
