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
    """A pool cannot call any function just now; the message says why."""


class Pool(Protocol):
    """Carries out runs, a certain number at once; writes nothing to the database."""

    def carry_out(self, run: "Run", ended: Ended, may_begin: MayBegin = always) -> None:
        """Take ``run`` in hand: its function is called as soon as a slot is free.

        Args:
            ended: hears how it ended, whatever its function does; in any thread. It hears nothing
                of a run that was withdrawn, or cut short by `close`.
            may_begin: is asked when the slot is free; if it says no, ``ended`` hears None.
        """

    def warm_up(self) -> None:
        """Start what the next run needs, unless that is there; blocks for as long as it takes.

        Raises:
            NotReady: it could not be started; a run would hear `NotCalled`.
        """

    def withdraw(self, run_id: int) -> bool:
        """Take back a run whose function was not called yet; return whether that was so."""

    def cancel(self, run_id: int, reason: str, *, by_force: bool = False) -> bool:
        """Ask a run to end; callable from any thread, and more than once.

        One whose function has not been called yet is not called. One that ends as it was asked
        to is ``cancelled``, with ``reason``; one that ends otherwise, as it ended.

        Args:
            by_force: end it without its consent, if the pool can.

        Returns:
            whether the run is in hand here; if it is not, nothing happens.
        """

    def close(self) -> None:
        """Take no more runs, and end those that go on as far as the pool can."""


MakePool = Callable[[int, Callable[[], datetime]], Pool]
"""Makes a pool for so many runs at once, given what tells it the time."""


@contextmanager
def needing_a_thread() -> Iterator[None]:
    """Raise `NotReady` if the system gives no thread."""
    try:
        yield
    except RuntimeError as error:
        raise NotReady(f"Could not start a thread: {error}") from error
