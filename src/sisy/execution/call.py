"""Call the function of a run in the current thread."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from inspect import getcoroutinestate, iscoroutine, iscoroutinefunction
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from django.db import DatabaseError, InterfaceError, close_old_connections

from sisy.callables.lookup import DjangoTask, Function, is_task_of_django
from sisy.exceptions import CallableError
from sisy.execution.run_handle import RunHandle, end_copy_of
from sisy.messaging import messages
from sisy.records.choices import RunState
from sisy.records.instances import copied
from sisy.records.outcome import Outcome
from sisy.runtime import current
from sisy.runtime.checkpoint import checkpoint
from sisy.runtime.compat import is_called_by_async_to_sync
from sisy.runtime.transactions import TransactionGuard

if TYPE_CHECKING:
    from sisy.records.run import RunRecord

P = ParamSpec("P")
T = TypeVar("T")

Adapter = Callable[[DjangoTask, Any], Function]

Observer = Callable[["RunRecord"], None]

_adapters: list[Adapter] = []
_observers: list[Observer] = []


@dataclass(frozen=True, slots=True)
class AwaitableResult:
    """The awaitable that an async function has returned.

    Attributes:
        needs_thread: whether the function must be called in a thread, because it may do more than
            return a coroutine, or because its object is read from the database.
    """

    awaitable: Awaitable[object]
    needs_thread: bool

    def close(self) -> None:
        """Close a coroutine that will not be awaited, so that Python does not warn about it."""
        if iscoroutine(self.awaitable) and getcoroutinestate(self.awaitable) == "CORO_CREATED":
            self.awaitable.close()


OutcomeT = TypeVar("OutcomeT", Outcome, Outcome | AwaitableResult)


def call_in_thread(handle: RunHandle) -> Outcome | AwaitableResult:
    """Call the function. Return the outcome, or what to await. Never raises.

    Context variables that the function sets do not outlive the call. Connections of the thread
    that have become unusable or too old are closed afterwards.
    """
    # Errors are returned as outcomes, because a future loses a StopIteration completely, and the
    # traceback of a TimeoutError.
    return copy_context().run(_call_in_run_context, handle)


def call_in_idle_thread(handle: RunHandle) -> Outcome | AwaitableResult:
    """Call the function like `call_in_thread`, in a thread that may have been idle for long.

    Raises:
        Exception: a connection of the thread cannot be closed.
    """
    close_old_connections()
    return call_in_thread(handle)


def _call_in_run_context(handle: RunHandle) -> Outcome | AwaitableResult:
    enter(handle)
    try:
        return unless_left_open(handle, call_here(handle), TransactionGuard())
    finally:
        close_old_connections()


def unless_left_open(
    handle: RunHandle, result: OutcomeT, guard: TransactionGuard
) -> OutcomeT | Outcome:
    """Return ``result``, or a failure if the function left a transaction open."""
    error = guard.release()
    if error is None or (isinstance(result, Outcome) and result.state != RunState.SUCCEEDED):
        return result
    if isinstance(result, AwaitableResult):
        result.close()
    return handle.raised(error)


def call_here(handle: RunHandle) -> Outcome | AwaitableResult:
    """Call the function like `call_in_thread`, but in the current context, with its connections.

    Use it for coroutine functions, whose code does not run before they are awaited.
    """
    try:
        try:
            function = _function_of(handle.run)
        except (CallableError, DatabaseError, InterfaceError) as error:
            return handle.unresolved(error)
        if handle.cancel_reason is not None:
            return handle.was_cancelled()
        try:
            checkpoint("start: function not called")
            value = function(message_for(handle.run))
        finally:
            handle.end_copy()
        if not isinstance(value, Awaitable):
            return handle.returned(value)
        is_plain = handle.run.target_pk is None and iscoroutinefunction(function)
        return AwaitableResult(value, needs_thread=not is_plain)
    except BaseException as error:  # noqa: BLE001 - the border around user code
        return handle.raised(error)


def _function_of(run: "RunRecord") -> Function:
    """Return the function of a run. It takes the message as its only argument."""
    found = run.target.resolve()
    if is_task_of_django(found):
        (adapt,) = _adapters
        return adapt(found, run)
    return found  # type: ignore[return-value]


def adapt_tasks_of_django(adapter: Adapter) -> None:
    """Register the function that converts a ``django.tasks`` task and a run to a function."""
    _adapters[:] = [adapter]


def enter(handle: RunHandle) -> None:
    """Make the current context that of a run, just before its function is called.

    Call it in a context of the run's own, for example a copy. An async function may be called in
    one context and awaited in another; then both are entered.
    """
    current.variable.set(handle.current)
    handle.enter_span()
    for observe in _observers:
        observe(handle.run)


def observe_calls(observer: Observer) -> None:
    """Call ``observer`` with each run in its context, in the process that calls the function.

    The observer must be fast, and must not raise. It may set context variables.
    """
    if observer not in _observers:
        _observers.append(observer)


def message_for(run: "RunRecord") -> dict[str, Any]:
    """Return the argument of a task function: a dict with the keys "task" and "message"."""
    # A copy: what the function sets on its task, without saving it, must not decide about retries
    # and pings, or be an error there.
    task = None if run.task is None else copied(run.task)
    return {"task": task, "message": messages.run_task(run, attempt=run.attempt)}


def cancel_lent(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the calls of ``async_to_sync`` in a loop that was lent to a thread.

    Call it in that loop.
    """
    # The thread waits only for these calls, so it continues.
    for task in asyncio.all_tasks(loop):
        if is_called_by_async_to_sync(task):
            task.cancel()


class GuardedThreads(ThreadPoolExecutor):
    """The threads of ``asyncio.to_thread`` and ``sync_to_async(thread_sensitive=False)``."""

    # These threads are shared by all runs of a loop, so each call must leave the connections of
    # its thread as it found them.

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return super().submit(_guarded, os.getpid(), partial(fn, *args, **kwargs))


def _guarded(pid: int, call: Callable[[], T]) -> T:
    close_old_connections()
    guard = TransactionGuard()
    try:
        result = call()
    finally:
        end_copy_of(pid)
        error = guard.release()
        close_old_connections()
    if error is not None:
        raise error
    return result
