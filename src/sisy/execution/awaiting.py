"""Awaits what an async function returns, for as long as its task allows."""

import asyncio
import inspect
from collections.abc import Awaitable
from functools import partial

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import connections

from sisy import current
from sisy.exceptions import RunTimedOut
from sisy.execution.going import Going
from sisy.execution.outcome import Outcome
from sisy.log import logger

TIME_TO_GIVE_IN = 2.0  # seconds that a function has to end once its time is up


async def awaited(awaitable: Awaitable[object], going: Going) -> Outcome:
    """Return the outcome of an async function.

    It runs in a task of its own, so that it cancels none but itself.
    """
    current.variable.set(going.current)
    async with ThreadSensitiveContext() as own_database_thread:
        task = asyncio.ensure_future(_outcome_of(awaitable, going))
        loop = asyncio.get_running_loop()
        going.ends_by(lambda by_force: _cancel_from_anywhere(loop, task))
        try:
            return await _within_timeout(task, going)
        finally:
            task.cancel()
            await asyncio.wait({task})
            if own_database_thread in SyncToAsync.context_to_thread_executor:
                await sync_to_async(connections.close_all)()


def close_unawaited(awaitable: Awaitable[object]) -> None:
    """Spare Python's warning about a coroutine that was cancelled before it began."""
    if inspect.iscoroutine(awaitable) and (
        inspect.getcoroutinestate(awaitable) == inspect.CORO_CREATED
    ):
        awaitable.close()


def _cancel_from_anywhere(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Outcome]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(partial(task.cancel))


async def _outcome_of(awaitable: Awaitable[object], going: Going) -> Outcome:
    try:
        value = await awaitable
    except BaseException as error:  # noqa: BLE001 - the border around user code
        return going.raised(error)
    return going.returned(value)


async def _within_timeout(task: asyncio.Task[Outcome], going: Going) -> Outcome:
    """Return the outcome of what goes on; cancel it when the task's timeout has passed."""
    limit = going.current.timeout
    await asyncio.wait({task}, timeout=limit.total_seconds() if limit else None)
    if task.cancelled():
        return going.raised(asyncio.CancelledError())
    if task.done():
        return task.result()
    task.cancel()
    await asyncio.wait({task}, timeout=TIME_TO_GIVE_IN)
    if not task.done():
        # Its slot is not given to others, and its run is not over: else the next run of the
        # task would start beside it, where ``overlap`` forbids that.
        logger.warning(
            "Run %s (%s) goes on after its timeout of %s, since its function does not let the "
            "cancellation through; it keeps its slot until it ends",
            going.run.pk,
            going.run.label,
            limit,
        )
        await asyncio.wait({task})
    return going.raised(RunTimedOut(f"The run took longer than the {limit} it has."))
