"""The pool of threads: plain functions each in a thread, async ones on a loop."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from sisy.execution.awaiting import awaited, close_unawaited
from sisy.execution.calling import call, lend_loop
from sisy.execution.going import Going, InHand
from sisy.execution.outcome import Outcome
from sisy.models import Run
from sisy.threads import TIME_TO_END, DaemonThreads, LoopOnDemand, LoopThread


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
        self._in_hand: InHand[Going] = InHand()

    async def execute(self, run: Run) -> Outcome:
        """Return how ``run`` ended, whatever the function raises.

        Raises:
            CancelledError: the pool was closed, or a function cancelled all tasks of its loop.
        """
        going = Going(run, self._now)
        with self._in_hand.holding(going):
            ended = await asyncio.wrap_future(self._threads.submit(call, going))
            return ended if isinstance(ended, Outcome) else await self._await(ended, going)

    def cancel(self, run_id: int, reason: str, *, by_force: bool = False) -> bool:
        """Ask a run to end, and return whether it is in hand; see `Pool.cancel`.

        By force, an async function that did not let the first cancellation through is cancelled
        once more.
        """
        return self._in_hand.cancel(run_id, reason, by_force)

    def close(self) -> None:
        """Take no more runs; how those end that still go on is not heard.

        Async functions are cancelled; others are asked to end, and else end with the process.
        """
        self._in_hand.cancel_all("Its worker stopped.")
        self._threads.shutdown(wait=False)
        self._awaiting.close(TIME_TO_END)
        for loop in self._loops:
            loop.close(TIME_TO_END)
        self._threads.join(TIME_TO_END)

    async def _await(self, awaitable: Awaitable[object], going: Going) -> Outcome:
        try:
            return await asyncio.wrap_future(self._awaiting.submit(awaited(awaitable, going)))
        finally:
            close_unawaited(awaitable)

    def _begin_thread(self) -> None:
        loop = LoopOnDemand("sisy-run-calls")
        self._loops.append(loop)
        lend_loop(loop)
