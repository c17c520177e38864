"""Find the run to which an error belongs that has left an event loop.

asyncio catches the errors of tasks and callbacks, except SystemExit and KeyboardInterrupt, which
leave ``run_forever()`` to end the program. In a worker, they must only end their own run. The
error does not name the run, but every callback keeps the context in which it was created, and
that context holds the run.
"""

from traceback import walk_tb

from sisy.runtime import current
from sisy.runtime.compat import closes_a_generator, context_value, handle_of
from sisy.runtime.current import CurrentRun


def run_behind(error: BaseException) -> CurrentRun | None:
    """Return the run whose task or callback raised ``error``; None if it cannot be found."""
    for frame, _ in walk_tb(error.__traceback__):
        handle = handle_of(frame)
        if handle is not None:
            # Python closes an unreferenced generator in the context of whatever runs at the time.
            if closes_a_generator(handle):
                return None
            run: CurrentRun | None = context_value(handle, current.variable)
            return run
    return None
