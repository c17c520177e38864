"""The information that a task function has about its own run."""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sisy.exceptions import NoCurrentRun, RunCancelled, RunTimedOut
from sisy.runtime.durations import duration_text


class Cancellation:
    """A request to stop a run, shared by its sender and the run."""

    __slots__ = ("reason",)

    def __init__(self) -> None:
        self.reason: str | None = None

    def ask(self, reason: str) -> None:
        """Ask the run to stop. Thread-safe."""
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentRun:
    """The run that a task function is executing; see `current_run`.

    Attributes:
        id: the primary key of the run.
        label: the label of the task when the run was planned.
        due_at: the due moment of its occurrence, even for a retry or a backfill; None if no
            schedule named one.
        attempt: the number of the attempt, from 1; each failure or loss adds one.
        started: when the attempt started, by ``time.monotonic()``.
        timeout: how long the run may take; None for no limit.
    """

    id: int
    label: str
    due_at: datetime | None
    attempt: int
    started: float
    timeout: timedelta | None
    cancellation: Cancellation = field(default_factory=Cancellation, repr=False, compare=False)

    def check(self) -> None:
        """Raise an error if the run should stop. Call it regularly in a long plain function.

        It is cheap, and also works in threads that the function uses through asgiref or asyncio.

        Raises:
            RunCancelled: the run was asked to stop. Do not catch it; the run is then recorded as
                cancelled, with the reason that was given.
            RunTimedOut: the task's ``timeout`` has passed. Do not catch it; the run is then
                recorded as timed out.
        """
        if self.cancellation.reason is not None:
            raise RunCancelled(self.cancellation.reason)
        if (error := self.overtime()) is not None:
            raise error

    def overtime(self) -> RunTimedOut | None:
        """Return the error if the timeout has passed, or None."""
        taken = time.monotonic() - self.started
        if self.timeout is None or taken <= self.timeout.total_seconds():
            return None
        return RunTimedOut(
            f"The run exceeded its timeout of {duration_text(self.timeout)}: it took "
            f"{duration_text(timedelta(seconds=round(taken, 1)))}."
        )


variable: ContextVar[CurrentRun] = ContextVar("sisy.current_run")


def current_run() -> CurrentRun:
    """Return the run that the calling task function executes.

    Raises:
        NoCurrentRun: it was called outside a task function.
    """
    try:
        return variable.get()
    except LookupError:
        raise NoCurrentRun(
            "current_run() works only inside a task function that a worker called."
        ) from None
