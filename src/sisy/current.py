"""The information that a task function has about its own run."""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sisy.exceptions import NoCurrentRun, RunCancelled, RunTimedOut


class Cancellation:
    """A request to stop a run, shared by its sender and the run."""

    __slots__ = ("reason",)

    def __init__(self) -> None:
        self.reason: str | None = None

    def ask(self, reason: str) -> None:
        """Ask the run to end; callable from any thread."""
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentRun:
    """The run that a task function is carrying out; see `current_run`.

    Attributes:
        id: the key of its row in the ledger.
        label: of its task, when it was planned.
        due_at: the moment that its schedule named, or that it makes good; None if there is none.
        attempt: 1 at first, and one more after each failure or loss.
        timeout: how long it may take; None for any time.
    """

    id: int
    label: str
    due_at: datetime | None
    attempt: int
    started: float
    timeout: timedelta | None
    cancellation: Cancellation = field(default_factory=Cancellation, repr=False, compare=False)

    def check(self) -> None:
        """End the run if it should end; call it now and then in a long plain function.

        It is cheap, and works in any thread that the function has called by asgiref or asyncio.

        Raises:
            RunCancelled: somebody asked the run to end; let it through, and the run is recorded
                as cancelled, with the reason that was given.
            RunTimedOut: the task's ``timeout`` has passed; let it through, and the run is
                recorded as timed out.
        """
        if self.cancellation.reason is not None:
            raise RunCancelled(self.cancellation.reason)
        if (error := self.overtime()) is not None:
            raise error

    def overtime(self) -> RunTimedOut | None:
        """Return the error of a run whose timeout has passed; None while it has not."""
        taken = time.monotonic() - self.started
        if self.timeout is None or taken <= self.timeout.total_seconds():
            return None
        return RunTimedOut(
            f"The run exceeded its timeout of {self.timeout}: it has taken {taken:.1f} s."
        )


variable: ContextVar[CurrentRun] = ContextVar("sisy.current_run")


def current_run() -> CurrentRun:
    """Return the run that the calling task function carries out.

    Raises:
        NoCurrentRun: called from elsewhere.
    """
    try:
        return variable.get()
    except LookupError:
        raise NoCurrentRun(
            "current_run() works only inside a task function that a worker called."
        ) from None
