"""Finds the run that an error belongs to which has left an event loop.

asyncio catches what tasks and callbacks raise, but lets SystemExit and KeyboardInterrupt out of
``run_forever()``, to end the program. In a worker they must only end their own run. The error does
not name it, but every callback keeps the context in which it was made, which holds the run.
"""

from traceback import walk_tb

from sisy import current
from sisy.current import CurrentRun
from sisy.runtime.compat.python import closes_a_generator, context_value, handle_of


def run_behind(error: BaseException) -> CurrentRun | None:
    """Return the run whose task or callback raised ``error``; None if that cannot be told."""
    for frame, _ in walk_tb(error.__traceback__):
        handle = handle_of(frame)
        if handle is not None:
            # Python closes a generator that nobody refers to in the context of whatever ran then.
            if closes_a_generator(handle):
                return None
            run: CurrentRun | None = context_value(handle, current.variable)
            return run
    return None
