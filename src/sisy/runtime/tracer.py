"""The tracer, which follows runs from their submission to their end, such as OpenTelemetry."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

Runs = TypeVar("Runs", bound=Sequence[Any])


class Tracer(Protocol):
    """Follows runs. Only `submit` may raise, namely what ``store`` raises."""

    def submit(self, using: str, store: Callable[[], Runs]) -> Runs:
        """Call ``store``, which inserts runs into a database, and return the runs."""

    def started(self, using: str, runs: Sequence[Any]) -> None:
        """Note where runs were submitted that this process has just claimed. May query."""

    def enter(self, run: Any, span: Any) -> Any:
        """Prepare the current context for the function of a run, and return the run's span.

        Args:
            span: what an earlier call for the same attempt has returned, or None.
        """

    def leave(self, run: Any, span: Any, outcome: Any) -> None:
        """Note the outcome of an attempt.

        Args:
            span: what `enter` has returned.
        """

    def flush(self) -> None:
        """Pass on what is kept in memory, before the process exits without a notice."""


installed: Tracer | None = None
"""The tracer of this process. Code that calls it first checks that there is one."""


def install(tracer: Tracer | None) -> None:
    """Use a tracer from now on."""
    global installed
    installed = tracer
