"""Awaits what an async function returns, for as long as its task allows."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextvars import copy_context

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import connections

from sisy import current
from sisy.exceptions import RunTimedOut
from sisy.execution.going import Going
from sisy.execution.outcome import Outcome
from sisy.log import logger

TIME_TO_GIVE_IN = 2.0  # seconds that a function has to end once its time is up


class Awaited:
    """An async function that goes on in a task of its own, so that it cancels none but itself.

    Make it in the loop. What it calls by ``sync_to_async`` has a thread of its own, too.

    Args:
        ended: called with how it ended, in whatever thread, once its connections are closed.
    """

    def __init__(
        self, awaitable: Awaitable[object], going: Going, ended: Callable[[Outcome], None]
    ) -> None:
        self._awaitable = awaitable
        self._going = going
        self._ended = ended
        self._own_thread = ThreadSensitiveContext()
        self._has_timed_out = False
        self._timer: asyncio.TimerHandle | None = None
        context = copy_context()
        context.run(current.variable.set, going.current)
        context.run(SyncToAsync.thread_sensitive_context.set, self._own_thread)
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._outcome(), context=context)
        self._task.add_done_callback(self._end)
        if going.current.timeout is not None:
            self._call_in(going.current.timeout.total_seconds(), self._time_out)
        going.ends_by(self._cancel_from_anywhere)

    async def _outcome(self) -> Outcome:
        try:
            value = await self._awaitable
        except BaseException as error:  # noqa: BLE001 - the border around user code
            return self._going.raised(error)
        return self._going.returned(value)

    def _end(self, task: asyncio.Task[Outcome]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._has_timed_out:
            error = RunTimedOut(f"The run took longer than the {self._limit} it has.")
            outcome = self._going.raised(error)
        elif task.cancelled():  # before it began
            _close_unawaited(self._awaitable)
            outcome = self._going.raised(asyncio.CancelledError())
        else:
            outcome = task.result()
        executor = SyncToAsync.context_to_thread_executor.pop(self._own_thread, None)
        if executor is None:
            self._ended(outcome)
        else:
            closing = executor.submit(connections.close_all)
            closing.add_done_callback(lambda _: self._ended(outcome))
            executor.shutdown(wait=False)

    def _time_out(self) -> None:
        self._has_timed_out = True
        self._task.cancel()
        self._call_in(TIME_TO_GIVE_IN, self._warn)

    def _warn(self) -> None:
        # Its slot is not given to others, and its run is not over: else the next run of the
        # task would start beside it, where ``overlap`` forbids that.
        logger.warning(
            "Run %s (%s) goes on after its timeout of %s, since its function does not let the "
            "cancellation through; it keeps its slot until it ends",
            self._going.run.pk,
            self._going.run.label,
            self._limit,
        )

    def _cancel_from_anywhere(self, by_force: bool) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        self._task.cancel()

    def _call_in(self, seconds: float, step: Callable[[], None]) -> None:
        self._timer = self._loop.call_later(seconds, step)

    @property
    def _limit(self) -> object:
        return self._going.current.timeout


def _close_unawaited(awaitable: Awaitable[object]) -> None:
    """Spare Python's warning about a coroutine that was cancelled before it began."""
    if inspect.iscoroutine(awaitable) and (
        inspect.getcoroutinestate(awaitable) == inspect.CORO_CREATED
    ):
        awaitable.close()
