"""Await an async function, up to the timeout of its task."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from datetime import timedelta

from asgiref.sync import ThreadSensitiveContext
from django.db import connections

from sisy.exceptions import RunTimedOut, TransactionLeftOpen
from sisy.execution.call import AwaitableResult, enter
from sisy.execution.run_handle import RunHandle
from sisy.records.choices import RunState
from sisy.records.outcome import Outcome
from sisy.runtime.compat import enter_thread_context, take_thread_of
from sisy.runtime.durations import duration_text
from sisy.runtime.log import logger
from sisy.runtime.transactions import TransactionGuard

WARN_AFTER = 2.0  # seconds for a function to end after its timeout, before a warning


class AsyncCall:
    """A call of an async function. Create it in the event loop.

    Args:
        ended: called with the outcome, in any thread, once the call's connections are closed.
    """

    # The call is an asyncio task of its own, so that a function that cancels its current task
    # cancels only itself. What it calls by ``sync_to_async`` has a thread of its own as well.

    def __init__(
        self, pending: AwaitableResult, handle: RunHandle, ended: Callable[[Outcome], None]
    ) -> None:
        self._pending = pending
        self._handle = handle
        self._ended = ended
        self._own_thread = ThreadSensitiveContext()
        self._has_timed_out = self._is_over = False
        self._timer: asyncio.TimerHandle | None = None
        context = copy_context()
        context.run(enter, handle)
        context.run(enter_thread_context, self._own_thread)
        self._loop = asyncio.get_running_loop()
        coroutine = self._outcome()
        try:
            self._task = self._loop.create_task(coroutine, context=context)
        # The function of a run may have set a task factory that raises anything.
        except BaseException:
            coroutine.close()
            raise
        self._task.add_done_callback(self._end)
        if handle.current.timeout is not None:
            self._call_in(handle.current.timeout.total_seconds(), self._time_out)
        handle.ends_by(self._cancel_from_anywhere)

    async def _outcome(self) -> Outcome:
        try:
            value = await self._pending.awaitable
            return self._handle.returned(value)
        except BaseException as error:  # noqa: BLE001 - the border around user code
            return self._handle.raised(error)
        finally:
            self._handle.end_copy()

    def _end(self, task: asyncio.Task[Outcome]) -> None:
        if self._timer is not None and not self._has_timed_out:
            self._timer.cancel()
        if self._has_timed_out:
            error = RunTimedOut(f"The run exceeded its timeout of {self._limit}.")
            # Where the function was.
            error.__cause__ = None if task.cancelled() else task.result().exception
            outcome = self._handle.raised(error)
        elif task.cancelled():  # before its first step
            self._pending.close()
            outcome = self._handle.raised(asyncio.CancelledError())
        else:
            outcome = task.result()
        executor = take_thread_of(self._own_thread)
        if executor is None:
            self._report(outcome)
        else:
            # If a call in this thread is not over, it keeps the slot: the timeout cannot end it.
            closing = executor.submit(_close_connections)
            closing.add_done_callback(lambda done: self._report(self._judged(outcome, done)))
            executor.shutdown(wait=False)

    def _report(self, outcome: Outcome) -> None:
        self._is_over = True
        self._ended(outcome)

    def _judged(self, outcome: Outcome, closing: "Future[TransactionLeftOpen | None]") -> Outcome:
        """Return ``outcome``, or a failure if a transaction was left open or closing failed."""
        error = closing.exception() or closing.result()
        if error is None or outcome.state != RunState.SUCCEEDED:
            return outcome
        return self._handle.raised(error)

    def _time_out(self) -> None:
        self._has_timed_out = True
        self._task.cancel()
        self._call_in(WARN_AFTER, self._warn)

    def _warn(self) -> None:
        if self._is_over:
            return
        why, end = "its function suppresses the cancellation", "the function returns"
        if self._task.done():
            why, end = "a call of sync_to_async has not returned", "it does"
        # The run is not over, and its slot is not free. Otherwise the task's next run could start
        # next to it although ``overlap`` forbids that.
        logger.warning(
            "Run %s (%s) is still running after its timeout of %s, because %s; the run keeps its "
            "slot until %s",
            self._handle.run.pk,
            self._handle.run.label,
            self._limit,
            why,
            end,
        )

    def _cancel_from_anywhere(self, by_force: bool) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._task.cancel()

    def _call_in(self, seconds: float, step: Callable[[], None]) -> None:
        self._timer = self._loop.call_later(seconds, step)

    @property
    def _limit(self) -> str:
        return duration_text(self._handle.current.timeout or timedelta(0))


def _close_connections() -> TransactionLeftOpen | None:
    """Close this thread's connections. Return an error if a transaction was left open."""
    error = TransactionGuard().release()
    connections.close_all()
    return error
