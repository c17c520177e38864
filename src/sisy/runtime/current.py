"""The information that a task function has about its own run."""

import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from sisy.exceptions import NoCurrentRun, RunCancelled, RunTimedOut
from sisy.runtime.durations import duration_text
from sisy.runtime.journal import Journal
from sisy.runtime.progress import Advance, atracked, checked, length_of, tracked

T = TypeVar("T")


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
    journal: Journal = field(default_factory=Journal, repr=False, compare=False)

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

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Report how far the run is. The dashboard and ``sisy_runs`` show it within a second.

        Call it as often as you like: it never waits for the database. Reports are stored at most
        twice a second, and the last one when the run ends.

        Args:
            done: how much is done, 0 or more.
            total: how much there is to do. Without it, no bar can be shown.
            message: what the run is doing, up to 200 characters. A longer one is shortened.

        Raises:
            TypeError: an argument has the wrong type.
            ValueError: a number is negative, infinite or not a number.
        """
        self.journal.advance(*checked(done, total, message))

    async def aprogress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Report how far the run is, as `progress` does."""
        self.progress(done, total, message)

    def track(
        self, rows: Iterable[T], total: float | None = None, message: str = ""
    ) -> Iterator[T]:
        """Yield each of ``rows``, and report after each how many are done.

        Args:
            rows: any iterable.
            total: how many there are; by default what ``len()`` or a length hint says, if
                ``rows`` has either. A generator has neither.
            message: what the run is doing, up to 200 characters.

        Raises:
            TypeError: ``rows`` is not an iterable, or another argument has the wrong type.
            ValueError: ``total`` is negative, infinite or not a number.
        """
        if not isinstance(rows, Iterable) and not hasattr(rows, "__getitem__"):
            hint = " Use atrack()." if isinstance(rows, AsyncIterable) else ""
            raise TypeError(f"rows must be an iterable, not {rows!r}.{hint}")
        return tracked(rows, self._advance(rows, total, message))

    def atrack(
        self, rows: AsyncIterable[T] | Iterable[T], total: float | None = None, message: str = ""
    ) -> AsyncIterator[T]:
        """Yield each of ``rows`` in ``async for``, as `track` does. They may be async, too."""
        if not isinstance(rows, AsyncIterable | Iterable):
            raise TypeError(f"rows must be an iterable or an async iterable, not {rows!r}.")
        return atracked(rows, self._advance(rows, total, message))

    def _advance(self, rows: object, total: float | None, message: str) -> Advance:
        """Return what notes how many of ``rows`` are done."""
        total = length_of(rows) if total is None else total
        _, total, message = checked(0, total, message)
        return partial(self.journal.advance, total=total, message=message)

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
