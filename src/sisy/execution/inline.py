"""Execute a run in the calling thread, with its database connections."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asgiref.sync import async_to_sync

from sisy.execution.call import Pending, call_bare, unless_left_open
from sisy.execution.outcome import Outcome
from sisy.execution.run_handle import RunHandle, to_nobody
from sisy.records.choices import RunState
from sisy.runtime import current
from sisy.runtime.transactions import TransactionGuard

if TYPE_CHECKING:
    from sisy.models import Run

Await = Callable[[RunHandle, Pending], Coroutine[Any, Any, Outcome]]


def carry_out_inline(run: "Run", now: datetime, record: Callable[[Outcome], None]) -> None:
    """Execute a run in this thread, and pass its outcome to ``record``.

    An async function is cancelled at its timeout. A plain function cannot be interrupted; it has
    timed out if it returns later than that.

    Args:
        now: the moment at which the run starts and finishes.

    Raises:
        KeyboardInterrupt: the function raised it, or someone pressed Ctrl-C. It is recorded as a
            failure first.
    """
    going = RunHandle(run, lambda: now, to_nobody)
    going.begin()
    outcome = _unless_late(going, call_inline(going, _within_limit))
    # There is no other worker to which the run could be released.
    record(replace(outcome, others_may_call_it=False))
    if going.interrupt is not None:
        raise going.interrupt


def call_inline(going: RunHandle, await_it: Await) -> Outcome:
    """Call the function of a started run in this thread, and return its outcome. Never raises.

    Transactions that are already open in this thread stay open.

    Args:
        await_it: awaits the result of an async function.
    """
    guard = TransactionGuard.here(with_savepoints=True)
    try:
        how = copy_context().run(_call_as_current, going, await_it)
    except BaseException as error:  # noqa: BLE001 - above all, errors that end the event loop
        how = going.raised(error)
    return unless_left_open(going, how, guard)


def _call_as_current(going: RunHandle, await_it: Await) -> Outcome:
    current.variable.set(going.current)
    how = call_bare(going)
    return how if isinstance(how, Outcome) else async_to_sync(await_it)(going, how)


async def _within_limit(going: RunHandle, pending: Pending) -> Outcome:
    span = going.current.timeout
    limit = asyncio.timeout(None if span is None else span.total_seconds())
    try:
        async with limit:
            return going.returned(await pending.awaitable)
    except BaseException as error:  # noqa: BLE001 - the border around user code
        late = going.current.overtime() if limit.expired() else None
        return going.raised(late or error)
    finally:
        going.end_copy()


def _unless_late(going: RunHandle, outcome: Outcome) -> Outcome:
    """Return ``outcome``, or a timeout if the function took too long."""
    late = going.current.overtime() if outcome.state == RunState.SUCCEEDED else None
    return outcome if late is None else going.raised(late)
