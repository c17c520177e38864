"""What every pool can do, wherever it carries runs out."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from sisy.execution.outcome import Outcome
from sisy.models import Run


class Pool(Protocol):
    """Carries out runs, a certain number at once; writes nothing to the database."""

    async def execute(self, run: Run) -> Outcome:
        """Return how ``run`` ended, whatever its function does.

        Raises:
            CancelledError: the pool was closed meanwhile.
        """

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
