"""Calls the function of a run, in the thread in which it is asked to."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from inspect import getcoroutinestate, iscoroutine, iscoroutinefunction
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError, close_old_connections

from sisy import current, messages
from sisy.callables.resolve import function_of
from sisy.exceptions import CallableError
from sisy.execution.outcome import Outcome
from sisy.execution.run_handle import RunHandle
from sisy.models.choices import RunState
from sisy.runtime.checkpoint import checkpoint
from sisy.runtime.compat import asgi as compat_asgi
from sisy.threads import LoopOnDemand
from sisy.transactions import TransactionGuard

if TYPE_CHECKING:
    from sisy.models import Run

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pending:
    """The awaitable that an async function has returned.

    Attributes:
        needs_thread: whether the function must be called in a thread, since it may do more than
            return a coroutine, or its object is to be read from the database.
    """

    awaitable: Awaitable[object]
    needs_thread: bool

    def close(self) -> None:
        """Spare Python's warning about a coroutine that is never awaited."""
        if iscoroutine(self.awaitable) and getcoroutinestate(self.awaitable) == "CORO_CREATED":
            self.awaitable.close()


How = TypeVar("How", Outcome, Outcome | Pending)


def call(going: RunHandle) -> Outcome | Pending:
    """Call the function; return the outcome, or what is to be awaited.

    Nothing leaves by exception: futures lose a StopIteration for good, and the traceback of a
    TimeoutError. What the function sets in its context ends with it.
    """
    return copy_context().run(_call_as_current, going)


def _call_as_current(going: RunHandle) -> Outcome | Pending:
    current.variable.set(going.current)
    close_old_connections()
    try:
        return unless_left_open(going, call_bare(going), TransactionGuard())
    finally:
        close_old_connections()


def unless_left_open(going: RunHandle, how: How, guard: TransactionGuard) -> How | Outcome:
    """Return ``how``, or a failure if the function succeeded but left a transaction open."""
    error = guard.release()
    if error is None or (isinstance(how, Outcome) and how.state != RunState.SUCCEEDED):
        return how
    if isinstance(how, Pending):
        how.close()
    return going.raised(error)


def call_bare(going: RunHandle) -> Outcome | Pending:
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
        try:
            checkpoint("start: function not called")
            value = function(message_for(going.run))
        finally:
            going.end_copy()
        if not isinstance(value, Awaitable):
            return going.returned(value)
        is_plain = going.run.target_pk is None and iscoroutinefunction(function)
        return Pending(value, needs_thread=not is_plain)
    except BaseException as error:  # noqa: BLE001 - the border around user code
        return going.raised(error)


def message_for(run: "Run") -> dict[str, Any]:
    """Return the one argument of a task function, with exactly two keys."""
    return {"task": run.task, "message": messages.run_task(run, attempt=run.attempt)}


def lend_loop(loop: LoopOnDemand) -> None:
    """Let what this thread calls by ``async_to_sync`` run in ``loop``.

    Otherwise asgiref makes a loop for each call, which takes a hundred times as long, and the
    connections of a channel layer end with it. One loop for all threads would be held by a
    function that blocks it.
    """
    compat_asgi.lend_loop(loop)


def cancel_lent(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what was called by ``async_to_sync`` in a loop that was lent to a thread.

    Call it in that loop. The thread waits for nothing else, so that it goes on.
    """
    for task in asyncio.all_tasks(loop):
        if compat_asgi.is_called_by_async_to_sync(task):
            task.cancel()


class GuardedThreads(ThreadPoolExecutor):
    """Threads for what coroutines hand to a thread of no one in particular.

    ``asyncio.to_thread`` and ``sync_to_async(thread_sensitive=False)`` take any of them, so that
    each call must leave its thread's connections as it found them.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return super().submit(partial(_guarded, fn, *args, **kwargs))


def _guarded(fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    close_old_connections()
    guard = TransactionGuard()
    try:
        result = fn(*args, **kwargs)
    finally:
        error = guard.release()
        close_old_connections()
    if error is not None:
        raise error
    return result
