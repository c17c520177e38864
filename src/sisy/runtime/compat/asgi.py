"""The private APIs of asgiref that Sisy uses."""

import asyncio
import os
from concurrent.futures import Executor
from typing import Any

from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext


def lend_loop(loop: Any) -> None:
    """Let what the calling thread calls by ``async_to_sync`` run in ``loop``, or what acts as one.

    By these names ``sync_to_async`` tells its threads of the loop that has called them.
    """
    SyncToAsync.threadlocal.main_event_loop = loop
    SyncToAsync.threadlocal.main_event_loop_pid = os.getpid()


def is_called_by_async_to_sync(task: "asyncio.Task[Any]") -> bool:
    """Return whether a thread waits for this task in ``async_to_sync``."""
    return getattr(task.get_coro(), "cr_code", None) is AsyncToSync.main_wrap.__code__


def enter_thread_context(context: ThreadSensitiveContext) -> None:
    """Give what ``sync_to_async`` calls from now on in this context a thread of its own."""
    SyncToAsync.thread_sensitive_context.set(context)


def take_thread_of(context: ThreadSensitiveContext) -> Executor | None:
    """Return the thread that `enter_thread_context` has led to, which nobody else ends then."""
    return SyncToAsync.context_to_thread_executor.pop(context, None)
