"""A run that a pool has in hand, and how it is asked to end."""

import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sisy.current import Cancellation, CurrentRun
from sisy.execution import outcome
from sisy.execution.outcome import NotCalled, Outcome
from sisy.foreign_errors import name_of

if TYPE_CHECKING:
    from sisy.models import Run

Ended = Callable[["Run", Outcome | NotCalled | None], None]
"""Hears how a run ended, in whatever thread; it must not block.

It hears None of a run that may not begin any more, and `NotCalled` if the pool could not do it.
"""

MayBegin = Callable[["Run"], bool]
"""Says, in whatever thread, whether a run that has waited for a slot may still begin."""


def to_nobody(run: "Run", outcome: Outcome | NotCalled | None) -> None:
    """Tell nobody: who carries the run out has the outcome himself."""


def always(run: "Run") -> bool:
    return True


class RunHandle:
    """A run in hand: when it started, whether it was asked to end, and at last its outcome.

    Attributes:
        current: what its function may know; only once it has begun.
        interrupt: the KeyboardInterrupt with which it ended, if it did.
    """

    current: CurrentRun
    interrupt: BaseException | None = None

    def __init__(
        self, run: "Run", now: Callable[[], datetime], ended: Ended, may_begin: MayBegin = always
    ) -> None:
        self.run = run
        self._now = now
        self._ended = ended
        self._may_begin = may_begin
        self._cancellation = Cancellation()
        self._is_forced = False
        self._escaped: BaseException | None = None
        self._end: Callable[[bool], None] | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def begin(self) -> datetime:
        """Let its time begin, and return the moment."""
        run = self.run
        self.started_at = self._now()
        self.current = CurrentRun(
            id=run.pk,
            label=run.label,
            due_at=run.occurrence_at or run.due_at,
            attempt=run.attempt,
            started=time.monotonic(),
            timeout=None if run.task is None else run.task.timeout,
            cancellation=self._cancellation,
        )
        return self.started_at

    def end_copy(self) -> None:
        """End this process if the function of the run has forked it, and came back in both.

        Call it right after the function. A copy has no other thread of the worker, and shares its
        pipes, what wakes its event loop, and its connections, which it would even close.
        """
        if os.getpid() != self._pid:
            os._exit(0)

    def is_known_as(self, current: CurrentRun) -> bool:
        """Return whether ``current`` is what the function of this run may know of it."""
        return getattr(self, "current", None) is current

    @property
    def may_begin(self) -> bool:
        """Return whether its function may still be called."""
        return self._may_begin(self.run)

    def report(self, outcome: Outcome | NotCalled | None) -> None:
        """Tell whoever had the run carried out how it ended; see `Ended`."""
        self._ended(self.run, outcome)

    @property
    def cancel_reason(self) -> str | None:
        """The reason of the request to stop the run; None if there is none."""
        return self._cancellation.reason

    @property
    def is_forced(self) -> bool:
        """Return whether somebody asked the run by force to end."""
        return self._is_forced

    def cancel(self, reason: str, by_force: bool) -> None:
        """Ask it to end; asking again is of effect only if it is by force, and was not before."""
        with self._lock:
            if self.cancel_reason is not None and (self._is_forced or not by_force):
                return
            self._is_forced = by_force
            self._cancellation.ask(reason)
            if self._end is not None:
                self._end(by_force)

    def break_off(self, error: BaseException) -> None:
        """Let it end as failed with ``error``, which has left a task or a callback of it.

        Its function may know nothing of that, and may wait in vain for what has ended.
        """
        with self._lock:
            if self._escaped is None:
                self._escaped = error
            if self.cancel_reason is None:
                self._cancellation.ask(
                    f"One of its asyncio tasks or callbacks raised {name_of(error)}."
                )
            if self._end is not None:
                self._end(False)

    def ends_by(self, end: Callable[[bool], None] | None) -> None:
        """Have ``end`` called, by whichever thread asks, when the run is asked to end.

        With None, what was to be called is not called any more once this returns.
        """
        with self._lock:
            self._end = end
            if end is not None and self.cancel_reason is not None:  # it was asked just before
                end(self._is_forced)

    def returned(self, value: object) -> Outcome:
        """Return the outcome of a function that returned ``value``."""
        return self.ended(outcome.of_value(value))

    def raised(self, error: BaseException) -> Outcome:
        """Return the outcome of a function that raised ``error``."""
        if issubclass(type(error), KeyboardInterrupt):  # its own __class__ may raise
            self.interrupt = error
        return self.ended(outcome.of_error(error, self.cancel_reason))

    def unresolved(self, error: Exception) -> Outcome:
        """Return the outcome of a run whose function could not be found."""
        return self.ended(outcome.of_unresolved(error))

    def was_cancelled(self) -> Outcome:
        """Return the outcome of a run that was asked to end."""
        return self.ended(outcome.of_cancelling(self.cancel_reason or ""))

    def ended(self, columns: dict[str, Any]) -> Outcome:
        """Return an outcome with these columns, unless an error of it decides: see `break_off`."""
        if self._escaped is not None:
            columns = outcome.of_error(self._escaped)
        return Outcome(started_at=self.started_at, finished_at=self._now(), **columns)
