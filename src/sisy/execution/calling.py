"""Calls the function of a run, in the thread in which it is asked to."""

import os
from collections.abc import Awaitable
from contextvars import copy_context
from typing import Any

from asgiref.sync import SyncToAsync
from django.db import DatabaseError, InterfaceError, close_old_connections

from sisy import current, messages
from sisy.enqueued.calling import function_of
from sisy.exceptions import CallableError
from sisy.execution.going import Going
from sisy.execution.outcome import Outcome
from sisy.models import Run
from sisy.threads import LoopOnDemand


def call(going: Going) -> Outcome | Awaitable[object]:
    """Call the function; return the outcome, or what is to be awaited.

    Nothing leaves by exception: futures lose a StopIteration for good, and the traceback of a
    TimeoutError. What the function sets in its context ends with it.
    """
    return copy_context().run(_call_as_current, going)


def _call_as_current(going: Going) -> Outcome | Awaitable[object]:
    current.variable.set(going.current)
    close_old_connections()
    try:
        return call_bare(going)
    finally:
        close_old_connections()


def call_bare(going: Going) -> Outcome | Awaitable[object]:
    """Call the function as `call` does, in the context and over the connections that are there.

    Enough for a coroutine function, of which nothing runs before it is awaited.
    """
    try:
        try:
            function = function_of(going.run)
        except (CallableError, DatabaseError, InterfaceError) as error:
            return going.unresolved(error)
        if going.cancel_reason is not None:
            return going.was_cancelled()
        value = function(message_for(going.run))
        return value if isinstance(value, Awaitable) else going.returned(value)
    except BaseException as error:  # noqa: BLE001 - the border around user code
        return going.raised(error)


def message_for(run: Run) -> dict[str, Any]:
    """Return the one argument of a task function, with exactly two keys."""
    return {"task": run.task, "message": messages.run_task(run, attempt=run.attempt)}


def lend_loop(loop: LoopOnDemand) -> None:
    """Let what this thread calls by ``async_to_sync`` run in ``loop``.

    Otherwise asgiref makes a loop for each call, which takes a hundred times as long, and the
    connections of a channel layer end with it. One loop for all threads would be held by a
    function that blocks it. These are the names by which asgiref's ``sync_to_async`` does it.
    """
    SyncToAsync.threadlocal.main_event_loop = loop
    SyncToAsync.threadlocal.main_event_loop_pid = os.getpid()
