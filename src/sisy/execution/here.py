"""Carries a run out in the calling thread, over the connections that it has."""

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from dataclasses import replace
from datetime import datetime
from typing import Any

from asgiref.sync import async_to_sync

from sisy import current
from sisy.execution.calling import call_bare
from sisy.execution.going import Going, to_nobody
from sisy.execution.outcome import Outcome
from sisy.models import Run

Await = Callable[[Going, Awaitable[object]], Coroutine[Any, Any, Outcome]]


def outcome_here(run: Run, now: datetime) -> Outcome:
    """Return how a run ended that was carried out in this thread, and took no time."""
    going = Going(run, lambda: now, to_nobody)
    going.begin()
    # A test or a submitter has no other worker to which the run could be released.
    return replace(call_here(going, _without_limit), others_may_call_it=False)


def call_here(going: Going, await_it: Await) -> Outcome:
    """Call the function of a run that has begun, in this thread, and return how it ended.

    Args:
        await_it: awaits what an async function has returned.
    """
    context = copy_context()
    context.run(current.variable.set, going.current)
    how = context.run(call_bare, going)
    if isinstance(how, Outcome):
        return how
    return context.run(async_to_sync(await_it), going, how)


async def _without_limit(going: Going, awaitable: Awaitable[object]) -> Outcome:
    try:
        return going.returned(await awaitable)
    except Exception as error:  # noqa: BLE001 - the border around user code
        return going.raised(error)
