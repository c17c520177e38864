"""A run in a pool: its start, cancel requests, and its outcome."""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from sisy.records import outcome
from sisy.records.outcome import NotCalled, Outcome, Span
from sisy.runtime import tracer
from sisy.runtime.current import Cancellation, CurrentRun
from sisy.runtime.journal import Journal, Noted
from sisy.runtime.user_errors import name_of

if TYPE_CHECKING:
    from sisy.records.run import RunRecord

R = TypeVar("R", bound="RunRecord")

OnOutcome = Callable[[R, Outcome | NotCalled | None], None]
"""Receives the outcome of a run, in any thread; must not block.

Receives None if the run may not start any more, and `NotCalled` if the pool could not call it.
"""

MayBegin = Callable[[R], bool]
"""Returns whether a run that has waited for a slot may still start. Called in any thread."""


def ignore_outcome(run: "RunRecord", outcome: Outcome | NotCalled | None) -> None:
    """Ignore the outcome, because the caller gets it as a return value."""


def always(run: "RunRecord") -> bool:
    return True


def end_copy_of(pid: int) -> None:
    """Exit if this process is a fork of the one with this key, in which user code was called."""
    # Such a copy has none of the worker's other threads. It shares the worker's pipes, event loop
    # and connections, and would even close them.
    if os.getpid() != pid:
        os._exit(0)


class RunHandle:
    """A run in a pool.

    Args:
        noted: called when the function has printed something or reported progress; see `Journal`.

    Attributes:
        journal: what the attempt prints and reports.
        current: what the function sees as ``current_run()``; set when the run starts.
        is_forced: whether the run was asked to stop by force.
        interrupt: the KeyboardInterrupt that the function raised, if it did.
    """

    current: CurrentRun
    interrupt: BaseException | None = None
    _span: Any = None

    def __init__(
        self,
        run: "RunRecord",
        now: Callable[[], datetime],
        ended: OnOutcome[Any],
        may_begin: MayBegin[Any] = always,
        noted: Noted | None = None,
    ) -> None:
        self.run = run
        self.journal = Journal(run, noted)
        self._now = now
        self._ended = ended
        self._may_begin = may_begin
        self._cancellation = Cancellation()
        self.is_forced = False
        self._escaped: BaseException | None = None
        self._end: Callable[[bool], None] | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def begin(self) -> datetime:
        """Record that the run starts, and return the moment."""
        run, task = self.run, self.run.task
        self.started_at = self._now()
        self.current = CurrentRun(
            id=run.id,
            label=run.label,
            due_at=run.occurrence_at or run.due_at,
            attempt=run.attempt,
            started=time.monotonic(),
            timeout=None if task is None else task.timeout,
            cancellation=self._cancellation,
            journal=self.journal,
        )
        return self.started_at

    def enter_span(self) -> None:
        """Make the span of this attempt current, if there is a tracer."""
        if tracer.installed is not None:
            self._span = tracer.installed.enter(self.run, self._span)

    def leave(self, outcome: Outcome) -> None:
        """Note the outcome of the function that was called in this process."""
        if tracer.installed is not None and self._span is not None:
            tracer.installed.leave(self.run, self._span, outcome)

    def end_copy(self) -> None:
        """Exit if this process is a fork that the function left behind.

        Call it right after the function.
        """
        end_copy_of(self._pid)

    def is_known_as(self, current: CurrentRun) -> bool:
        """Return whether ``current`` belongs to this run."""
        return getattr(self, "current", None) is current

    @property
    def may_begin(self) -> bool:
        """True if the function may still be called."""
        return self._may_begin(self.run)

    def report(self, outcome: Outcome | NotCalled | None) -> None:
        """Pass on the outcome; see `OnOutcome`."""
        if isinstance(outcome, Outcome):
            self.leave(outcome)
        self._ended(self.run, outcome)

    @property
    def cancel_reason(self) -> str | None:
        """The reason of the request to stop the run; None if there is none."""
        return self._cancellation.reason

    def cancel(self, reason: str, by_force: bool) -> None:
        """Ask the run to stop. Asking again only has an effect if it adds force."""
        with self._lock:
            if self.cancel_reason is not None and (self.is_forced or not by_force):
                return
            self.is_forced = by_force
            self._cancellation.ask(reason)
            if self._end is not None:
                self._end(by_force)

    def break_off(self, error: BaseException) -> None:
        """Make the run fail with ``error``, which one of its tasks or callbacks has raised."""
        # The function may not notice the error, and may wait forever for the task that ended.
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
        """Set the function that stops the run; it is called in the thread that asks.

        With None, the previous function is not called any more once this returns.
        """
        with self._lock:
            self._end = end
            # The request may have come just before.
            if end is not None and self.cancel_reason is not None:
                end(self.is_forced)

    def returned(self, value: object) -> Outcome:
        """Return the outcome of a function that returned ``value``."""
        return self._outcome(lambda span: outcome.of_value(span, value))

    def raised(self, error: BaseException) -> Outcome:
        """Return the outcome of a function that raised ``error``."""
        # Not isinstance(): a user's exception may raise in __class__.
        if issubclass(type(error), KeyboardInterrupt):
            self.interrupt = error
        return self._outcome(lambda span: outcome.of_error(span, error, self.cancel_reason))

    def unresolved(self, error: Exception) -> Outcome:
        """Return the outcome of a run whose function could not be found."""
        return self._outcome(lambda span: outcome.of_unresolved(span, error))

    def was_cancelled(self) -> Outcome:
        """Return the outcome of a run that was asked to stop."""
        return self._outcome(lambda span: outcome.of_cancelling(span, self.cancel_reason or ""))

    def was_lost(self, reason: str) -> Outcome:
        """Return the outcome of a run whose process died."""
        return self._outcome(lambda span: outcome.of_loss(span, reason))

    def _outcome(self, make: Callable[[Span], Outcome]) -> Outcome:
        """Return the outcome that ``make`` returns, or the failure that `break_off` has noted.

        What the run prints from here on is not kept.
        """
        span = self.started_at, self._now()
        made = make(span)
        if self._escaped is not None:
            made = outcome.of_error(span, self._escaped)
        report = self.journal.close()
        return made if report is None else replace(made, report=report)
