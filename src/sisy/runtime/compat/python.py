"""The private APIs of Python's standard library that Sisy uses; knows no Django."""

import asyncio
import os
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from multiprocessing.process import _children as children  # type: ignore[attr-defined]
from types import FrameType
from typing import Any

RUN_OF_A_HANDLE = asyncio.Handle._run.__code__
CLOSING_OF_A_GENERATOR = "async_generator_athrow"


def forget_child(process: BaseProcess) -> None:
    """Have multiprocessing neither poll a child from any thread, nor wait for it at exit."""
    children.discard(process)


def let_go_of_fork_server() -> None:
    """Close this child's end of the pipe that keeps the fork server alive."""
    server: Any = forkserver._forkserver
    alive = getattr(server, "_forkserver_alive_fd", None)
    if alive is not None:
        server._forkserver_alive_fd = None
        os.close(alive)


def handle_of(frame: FrameType) -> asyncio.Handle | None:
    """Return the callback that an event loop calls in this frame; None if it calls none there."""
    return frame.f_locals["self"] if frame.f_code is RUN_OF_A_HANDLE else None


def context_value(handle: asyncio.Handle, variable: Any) -> Any:
    """Return what a context variable is for a callback; None if it is not set there."""
    return handle._context.get(variable)  # type: ignore[attr-defined]


def closes_a_generator(handle: asyncio.Handle) -> bool:
    """Return whether a callback is a step of closing an async generator that was collected."""
    task = getattr(getattr(handle, "_callback", None), "__self__", None)
    if not isinstance(task, asyncio.Task):
        return False
    return type(task.get_coro()).__name__ == CLOSING_OF_A_GENERATOR
