"""Carries out one claimed run and returns an outcome; writes nothing to the database."""

import asyncio
import inspect
import json
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from django.db import close_old_connections, connections

from sisy import current, messages
from sisy.exceptions import CallableError, RunTimedOut
from sisy.models import Run, RunState
from sisy.models.validation import unstorable_in
from sisy.threads import TIME_TO_END, DaemonThreads, LoopThread

ERROR_LIMIT = 32_000
RESULT_LIMIT = 64_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended.

    Attributes:
        reason: one line; empty for a success whose value could be stored.
        result: what the function returned, as JSON holds it, if it could be stored.
        error: the traceback, capped.
        target_is_broken: whether what it calls is gone, or can no longer be called.
    """

    state: RunState
    started_at: datetime
    finished_at: datetime
    reason: str = ""
    result: Any = None
    error: str = ""
    target_is_broken: bool = False


class Pool:
    """Carries out up to ``slots`` synchronous functions in threads, async ones on a loop.

    That loop is the pool's own: an async function that blocks it holds up other async functions,
    but neither synchronous ones, nor the worker's leases, nor the web server around it. Another
    loop hands over the synchronous ones, and runs what they call by ``async_to_sync``.
    """

    def __init__(self, slots: int, now: Callable[[], datetime]) -> None:
        self._now = now
        self._threads = DaemonThreads(slots, "sisy-run")
        self._calling = LoopThread("sisy-run-calls")
        self._awaiting = LoopThread("sisy-run-async")

    async def execute(self, run: Run) -> Outcome:
        """Return how ``run`` ended, whatever the function raises.

        Raises:
            CancelledError: the pool was closed, or a function cancelled all tasks of its loop.
        """
        started_at = self._now()
        now_running = _current(run)
        value = await asyncio.wrap_future(self._calling.submit(self._call(run, now_running)))
        if isinstance(value, Awaitable):
            value = await self._await(value, run, now_running)
        if isinstance(value, _Raised):
            columns = _failure(value.error, value.by_target)
        else:
            columns = _success(value)
        return Outcome(started_at=started_at, finished_at=self._now(), **columns)

    def close(self) -> None:
        """Take no more runs; how those end that still go on is not heard.

        Async functions are cancelled, others end with the process.
        """
        self._threads.shutdown(wait=False)
        self._awaiting.close(TIME_TO_END)
        self._calling.close(TIME_TO_END)
        self._threads.join(TIME_TO_END)

    async def _await(
        self, awaitable: Awaitable[object], run: Run, now_running: current.CurrentRun
    ) -> object:
        going = self._awaiting.submit(_value_of(awaitable, run, now_running))
        try:
            return await asyncio.wrap_future(going)
        finally:
            if inspect.iscoroutine(awaitable) and (
                inspect.getcoroutinestate(awaitable) == inspect.CORO_CREATED
            ):
                awaitable.close()  # it was cancelled before it began

    async def _call(self, run: Run, now_running: current.CurrentRun) -> object:
        current.variable.set(now_running)
        in_thread = sync_to_async(
            _call_here,
            thread_sensitive=False,
            executor=cast("ThreadPoolExecutor", self._threads),
        )
        return await in_thread(run)


@dataclass(frozen=True, slots=True)
class _Raised:
    """What a function raised in its thread.

    It leaves the thread as a value: futures lose a StopIteration for good, and the traceback of
    a TimeoutError.
    """

    error: BaseException
    by_target: bool = False


def _call_here(run: Run) -> object:
    """Call the run's function in this thread; an async one returns what is to be awaited."""
    close_old_connections()
    try:
        try:
            function = run.target.resolve()
        except CallableError as error:
            return _Raised(error, by_target=True)
        return function(message_for(run))
    except BaseException as error:  # noqa: BLE001 - the border around user code
        return _Raised(error)
    finally:
        close_old_connections()


def message_for(run: Run) -> dict[str, Any]:
    """Return the one argument of a task function, with exactly two keys."""
    return {"task": run.task, "message": messages.run_task(run, attempt=run.attempt)}


def _current(run: Run) -> current.CurrentRun:
    return current.CurrentRun(
        id=run.pk,
        label=run.label,
        due_at=run.due_at,
        attempt=run.attempt,
        started=time.monotonic(),
        timeout=None if run.task is None else run.task.timeout,
    )


async def _value_of(
    awaitable: Awaitable[object], run: Run, now_running: current.CurrentRun
) -> object:
    """Return what an async function returns, or what it raised, as a value.

    It runs in a task of its own, so that it cancels none but itself.
    """
    current.variable.set(now_running)
    async with ThreadSensitiveContext() as own_database_thread:
        going = asyncio.ensure_future(_awaited(awaitable))
        try:
            return await _within(run, going)
        finally:
            going.cancel()
            await asyncio.wait({going})
            if own_database_thread in SyncToAsync.context_to_thread_executor:
                await sync_to_async(connections.close_all)()


async def _awaited(awaitable: Awaitable[object]) -> object:
    try:
        return await awaitable
    except BaseException as error:  # noqa: BLE001 - the border around user code
        return _Raised(error)


async def _within(run: Run, going: asyncio.Future[object]) -> object:
    """Return the result of what goes on; cancel it when the task's timeout has passed."""
    limit = run.task.timeout if run.task else None
    await asyncio.wait({going}, timeout=limit.total_seconds() if limit else None)
    if going.cancelled():
        return _Raised(asyncio.CancelledError())
    if going.done():
        return going.result()
    going.cancel()
    await asyncio.wait({going})
    return _Raised(RunTimedOut(f"The run took longer than the {limit} it has."))


def _success(value: object) -> dict[str, Any]:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    except Exception as error:  # noqa: BLE001 - the value may be of any class
        return _success_without_value(f"JSON cannot hold it: {_words_of(error)}")
    if len(text) > RESULT_LIMIT:
        return _success_without_value(f"it has {len(text)} of {RESULT_LIMIT} characters as JSON")
    if flaw := unstorable_in(text):
        return _success_without_value(f"it holds {flaw}, which databases refuse")
    return {"state": RunState.SUCCEEDED, "result": json.loads(text)}


def _success_without_value(why: str) -> dict[str, Any]:
    reason = storable(f"The return value was not stored, since {why}")
    return {"state": RunState.SUCCEEDED, "reason": f"{reason[:499]}."}


def _failure(error: BaseException, target_is_broken: bool = False) -> dict[str, Any]:
    timed_out = isinstance(error, RunTimedOut)
    return {
        "state": RunState.TIMED_OUT if timed_out else RunState.FAILED,
        "reason": storable(f"{_name_of(error)}: {_words_of(error)}")[:500],
        "error": _capped(storable(_traceback_of(error))),
        "target_is_broken": target_is_broken,
    }


def _name_of(error: BaseException) -> str:
    try:
        return str(type(error).__name__)
    except Exception:  # noqa: BLE001 - the error may be of any class
        return "<exception without a name>"


def _traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # noqa: BLE001 - the error may be of any class
        return f"<no traceback of {_name_of(error)}>"


def _words_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the error may be of any class
        return "<exception str() failed>"


def _capped(text: str) -> str:
    """Keep the end of a text that is too long: there the error is named."""
    return text if len(text) <= ERROR_LIMIT else "[…]\n" + text[-ERROR_LIMIT:]


def storable(text: str) -> str:
    """Return ``text`` without what databases refuse: NUL and halves of surrogate pairs."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
