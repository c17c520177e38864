"""Finds the run that an error belongs to which has left an event loop.

asyncio catches what tasks and callbacks raise, but lets SystemExit and KeyboardInterrupt out of
``run_forever()``, to end the program. In a worker they must only end their own run. The error does
not name it, but every callback keeps the context in which it was made, which holds the run.
"""

import asyncio
from traceback import walk_tb

from sisy import current
from sisy.current import CurrentRun

CALL = asyncio.Handle._run.__code__
CLOSING_OF_A_GENERATOR = "async_generator_athrow"


def run_behind(error: BaseException) -> CurrentRun | None:
    """Return the run whose task or callback raised ``error``; None if that cannot be told."""
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code is CALL:
            handle = frame.f_locals["self"]
            return None if _is_garbage(handle) else handle._context.get(current.variable)
    return None


def _is_garbage(handle: asyncio.Handle) -> bool:
    """Whether Python closes an async generator that nobody refers to any more.

    It does so in the context of whatever ran when the generator was collected.
    """
    task = getattr(getattr(handle, "_callback", None), "__self__", None)
    if not isinstance(task, asyncio.Task):
        return False
    return type(task.get_coro()).__name__ == CLOSING_OF_A_GENERATOR
