"""The pool of threads: plain functions each in a thread, async ones on a loop."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from sisy.execution.awaiting import awaited, close_unawaited
from sisy.execution.calling import call, lend_loop
from sisy.execution.going import Ended, Going, MayBegin, always
from sisy.execution.outcome import Outcome
from sisy.execution.slots import Slots
from sisy.inbox import Inbox
from sisy.models import Run
from sisy.threads import TIME_TO_END, DaemonThreads, LoopOnDemand, LoopThread

Begun = tuple[Awaitable[object], Going]


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
        self._awaited: set[asyncio.Task[Outcome]] = set()
        self._slots = Slots(slots, self._begin)
        self._is_closed = False

    def carry_out(self, run: Run, ended: Ended, may_begin: MayBegin = always) -> None:
        """Take ``run`` in hand; see `Pool.carry_out`."""
        self._slots.take(Going(run, self._now, ended, may_begin))

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
        self._is_closed = True
        self._slots.close("Its worker stopped.")
        self._threads.shutdown(wait=False)
        self._awaiting.close(TIME_TO_END)
        for loop in self._loops:
            loop.close(TIME_TO_END)
        self._threads.join(TIME_TO_END)

    def _begin(self, going: Going) -> None:
        self._threads.start(partial(self._call, going))

    def _call(self, going: Going) -> None:
        if not going.may_begin:
            self._threads.release()
            self._end(going, None)
            return
        going.begin()
        try:
            how = call(going)
        except BaseException as error:  # noqa: BLE001 - a run without an end would keep its slot
            how = going.raised(error)
        self._threads.release()
        if isinstance(how, Outcome):
            self._end(going, how)
        else:
            self._to_await.put((how, going))

    def _await_all(self, begun: list[Begun]) -> None:
        for awaitable, going in begun:
            task = self._awaiting.loop.create_task(awaited(awaitable, going))
            self._awaited.add(task)
            task.add_done_callback(partial(self._has_been_awaited, awaitable, going))

    def _has_been_awaited(
        self, awaitable: Awaitable[object], going: Going, task: asyncio.Task[Outcome]
    ) -> None:
        self._awaited.discard(task)
        close_unawaited(awaitable)
        if not task.cancelled():
            error = task.exception()
            self._end(going, task.result() if error is None else going.raised(error))
        elif not self._is_closed:  # some function has cancelled all that there is in the loop
            self._end(going, going.raised(asyncio.CancelledError()))

    def _end(self, going: Going, outcome: Outcome | None) -> None:
        self._slots.end(going)
        going.report(outcome)

    def _begin_thread(self) -> None:
        loop = LoopOnDemand("sisy-run-calls")
        self._loops.append(loop)
        lend_loop(loop)
