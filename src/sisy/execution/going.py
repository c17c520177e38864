"""Runs that a pool has in hand, and how they are asked to end."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Generic, TypeVar

from sisy.current import CurrentRun
from sisy.execution import outcome
from sisy.execution.outcome import Outcome
from sisy.models import Run


class Going:
    """A run in hand: when it started, whether it was asked to end, and at last its outcome."""

    def __init__(self, run: Run, now: Callable[[], datetime]) -> None:
        self.run = run
        self._now = now
        self.started_at = now()
        self.current = CurrentRun(
            id=run.pk,
            label=run.label,
            due_at=run.stands_for or run.due_at,
            attempt=run.attempt,
            started=time.monotonic(),
            timeout=None if run.task is None else run.task.timeout,
        )
        self._is_forced = False
        self._end: Callable[[bool], None] | None = None
        self._lock = threading.Lock()

    @property
    def cancel_reason(self) -> str | None:
        """Why somebody asked the run to end; None unless somebody did."""
        return self.current.cancellation.reason

    @property
    def is_forced(self) -> bool:
        """Whether somebody asked the run by force to end."""
        return self._is_forced

    def start(self) -> datetime:
        """Let it start now, and not when it was taken in hand; return the moment."""
        self.started_at = self._now()
        return self.started_at

    def cancel(self, reason: str, by_force: bool) -> None:
        """Ask it to end; asking again is of effect only if it is by force, and was not before."""
        with self._lock:
            if self.cancel_reason is not None and (self._is_forced or not by_force):
                return
            self._is_forced = by_force
            self.current.cancellation.ask(reason)
            if self._end is not None:
                self._end(by_force)

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

    def raised(self, error: BaseException, target_is_broken: bool = False) -> Outcome:
        """Return the outcome of a function that raised ``error``."""
        return self.ended(outcome.of_error(error, self.cancel_reason, target_is_broken))

    def was_cancelled(self) -> Outcome:
        """Return the outcome of a run that was asked to end."""
        return self.ended(outcome.of_cancelling(self.cancel_reason or ""))

    def ended(self, columns: dict[str, Any]) -> Outcome:
        return Outcome(started_at=self.started_at, finished_at=self._now(), **columns)


G = TypeVar("G", bound=Going)


class InHand(Generic[G]):
    """All runs that a pool has in hand; the same run may be among them twice.

    That happens to a worker which froze, lost its lease, and won its own run again.
    """

    def __init__(self) -> None:
        self._going: set[G] = set()
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, going: G) -> Iterator[None]:
        """Have ``going`` in hand for as long as the block lasts."""
        with self._lock:
            self._going.add(going)
        try:
            yield
        finally:
            with self._lock:
                self._going.discard(going)

    def cancel_all(self, reason: str) -> None:
        """Ask all of them to end."""
        with self._lock:
            for going in self._going:
                going.cancel(reason, False)

    def cancel(self, run_id: int, reason: str, by_force: bool) -> bool:
        """Ask the run with this key to end; return whether it is in hand."""
        with self._lock:
            asked = [going for going in self._going if going.run.pk == run_id]
            for going in asked:
                going.cancel(reason, by_force)
        return bool(asked)
