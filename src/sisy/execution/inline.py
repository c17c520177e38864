"""Execute a run in the calling thread, with its database connections."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync

from sisy.execution.call import AwaitableResult, call_here, enter, unless_left_open
from sisy.execution.run_handle import RunHandle, ignore_outcome
from sisy.records.choices import RunState
from sisy.records.outcome import Outcome
from sisy.runtime.capture import capturing
from sisy.runtime.transactions import TransactionGuard

if TYPE_CHECKING:
    from sisy.records.run import RunRecord

Awaiter = Callable[[RunHandle, AwaitableResult], Coroutine[Any, Any, Outcome]]


def execute_inline(run: "RunRecord", now: datetime, record: Callable[[Outcome], None]) -> None:
    """Execute a run in this thread, and pass its outcome to ``record``.

    An async function is cancelled at its timeout. A plain function cannot be interrupted; it has
    timed out if it returns later than that.

    Args:
        now: the moment at which the run starts and finishes.

    Raises:
        KeyboardInterrupt: the function raised it, or someone pressed Ctrl-C. It is recorded as a
            failure first.
    """
    handle = RunHandle(run, lambda: now, ignore_outcome)
    handle.begin()
    with capturing():
        outcome = _unless_late(handle, call_inline(handle, _within_limit))
    # There is no other worker to which the run could be released.
    record(replace(outcome, others_may_call_it=False))
    if handle.interrupt is not None:
        raise handle.interrupt


def call_inline(handle: RunHandle, await_it: Awaiter) -> Outcome:
    """Call the function of a started run in this thread, and return its outcome. Never raises.

    Transactions that are already open in this thread stay open.

    Args:
        await_it: awaits the result of an async function.
    """
    guard = TransactionGuard.here(with_savepoints=True)
    try:
        result = copy_context().run(_call_and_await, handle, await_it)
    except BaseException as error:  # noqa: BLE001 - above all, errors that end the event loop
        result = handle.raised(error)
    outcome = unless_left_open(handle, result, guard)
    handle.leave(outcome)
    return outcome


def _call_and_await(handle: RunHandle, await_it: Awaiter) -> Outcome:
    enter(handle)
    result = call_here(handle)
    return result if isinstance(result, Outcome) else async_to_sync(await_it)(handle, result)


async def _within_limit(handle: RunHandle, pending: AwaitableResult) -> Outcome:
    span = handle.current.timeout
    limit = asyncio.timeout(None if span is None else span.total_seconds())
    try:
        async with limit:
            return handle.returned(await pending.awaitable)
    except BaseException as error:  # noqa: BLE001 - the border around user code
        late = handle.current.overtime() if limit.expired() else None
        if late is not None:
            # Where the function was.
            late.__cause__ = error
        return handle.raised(late or error)
    finally:
        handle.end_copy()


def _unless_late(handle: RunHandle, outcome: Outcome) -> Outcome:
    """Return ``outcome``, or a timeout if the function took too long."""
    late = handle.current.overtime() if outcome.state == RunState.SUCCEEDED else None
    return outcome if late is None else handle.raised(late)
