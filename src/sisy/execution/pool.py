"""The interface of all pools."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from sisy.exceptions import SisyError
from sisy.execution.run_handle import Ended, MayBegin, always

if TYPE_CHECKING:
    from sisy.models import Run


class NotReady(SisyError):
    """A pool cannot call any function at the moment. The message says why."""


class Pool(Protocol):
    """Executes a limited number of runs at once. Writes nothing to the database."""

    def carry_out(self, run: "Run", ended: Ended, may_begin: MayBegin = always) -> None:
        """Call the function of ``run`` as soon as a slot is free.

        Args:
            ended: called with the outcome, in any thread, whatever the function does. Not called
                for a run that was withdrawn or cut short by `close`.
            may_begin: called when the slot is free. If it returns False, ``ended`` is called with
                None.
        """

    def warm_up(self) -> None:
        """Start what the next run needs, if necessary. Blocks until it is ready.

        Raises:
            NotReady: it could not be started. The outcome of a run would be `NotCalled`.
        """

    def withdraw(self, run_id: int) -> bool:
        """Remove a run whose function was not called yet. Return whether there was one."""

    def cancel(self, run_id: int, reason: str, *, by_force: bool = False) -> bool:
        """Ask a run to stop. Thread-safe; may be called more than once.

        A function that has not been called yet is not called. A function that stops because of
        the request makes the run ``cancelled``, with ``reason``. If it ends in another way, the
        request does not change the outcome.

        Args:
            by_force: end the function even if it does not cooperate, if the pool can.

        Returns:
            Whether this pool has the run. If not, nothing happens.
        """

    def close(self) -> None:
        """Accept no more runs, and stop the running ones as far as the pool can."""


MakePool = Callable[[int, Callable[[], datetime]], Pool]
"""Creates a pool from the number of slots and a function that returns the current time."""


@contextmanager
def needing_a_thread() -> Iterator[None]:
    """Raise `NotReady` if the system cannot start a thread."""
    try:
        yield
    except RuntimeError as error:
        raise NotReady(f"Could not start a thread: {error}") from error
