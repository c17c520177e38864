"""The interface of pools, and the slots, which limit how many runs they execute concurrently."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Protocol

from sisy.exceptions import SisyError
from sisy.execution.run_handle import MayBegin, OnOutcome, R, RunHandle, always
from sisy.records.outcome import NotCalled
from sisy.runtime.current import CurrentRun
from sisy.runtime.journal import Noted


class NotReady(SisyError):
    """A pool cannot call any function at the moment. The message says why."""


class Pool(Protocol):
    """Executes a limited number of runs concurrently. Writes nothing to the database.

    Attributes:
        noted: called when a run has printed something or reported progress; see `Journal`.
    """

    noted: Noted | None

    def execute(self, run: R, ended: OnOutcome[R], may_begin: MayBegin[R] = always) -> None:
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

    def withdraw(self, run_id: int, *, attempt: int | None = None) -> bool:
        """Remove a run whose function was not called yet. Return whether there was one.

        Args:
            attempt: the attempt to remove; by default, any.
        """

    def cancel(
        self, run_id: int, reason: str, *, by_force: bool = False, attempt: int | None = None
    ) -> bool:
        """Ask a run to stop. Thread-safe; may be called more than once.

        A function that has not been called yet is not called. A function that stops because of
        the request makes the run ``cancelled``, with ``reason``. If it ends in another way, the
        request does not change the outcome.

        Args:
            by_force: end the function even if it does not cooperate, if the pool can.
            attempt: the attempt to stop; by default, any.

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


class Slots:
    """The runs of a pool. Up to ``number`` of them run at a time.

    Args:
        begin: starts the execution of a run, which passes its slot on when it ends. Must not
            block. May raise `NotReady`.
    """

    def __init__(self, number: int, begin: Callable[[RunHandle], None]) -> None:
        self._free = number
        self._begin = begin
        # Handles, not keys: a worker that froze, lost its lease and claimed its own run again has
        # the same run twice.
        self._in_hand: set[RunHandle] = set()
        self._queued: deque[RunHandle] = deque()
        self._lock = threading.Lock()

    def take(self, handle: RunHandle) -> None:
        """Start a run now, or when a slot becomes free."""
        with self._lock:
            self._in_hand.add(handle)
            if not self._free:
                self._queued.append(handle)
                return
            self._free -= 1
        self._start(handle)

    def end(self, handle: RunHandle) -> None:
        """Pass the slot of a finished run to the next run, and start that."""
        following = self.pass_on(handle)
        if following is not None:
            self._start(following)

    def pass_on(
        self, handle: RunHandle, before_free: Callable[[], None] | None = None
    ) -> RunHandle | None:
        """Pass the slot of a finished run to the run that has waited longest.

        Args:
            before_free: called if no run waits, before another run can take the slot.

        Returns:
            The run that waited, which the caller must start; None if the slot is free.
        """
        with self._lock:
            self._in_hand.discard(handle)
            if self._queued:
                return self._queued.popleft()
            if before_free is not None:
                before_free()
            self._free += 1
            return None

    def _start(self, handle: RunHandle) -> None:
        """Start a run. If the pool is not ready, report this and all later runs as not called."""
        following: RunHandle | None = handle
        while following is not None:
            try:
                self._begin(following)
                return
            except NotReady as error:
                failed, following = following, self.pass_on(following)
                failed.report(NotCalled(reason=f"{error}."))

    def withdraw(self, run_id: int, attempt: int | None) -> bool:
        """Remove the run with this key if it has not started. Return whether it was removed."""
        with self._lock:
            for handle in self._queued:
                if _is_of(handle, run_id, attempt):
                    self._queued.remove(handle)
                    self._in_hand.discard(handle)
                    return True
        return False

    def cancel(self, run_id: int, reason: str, by_force: bool, attempt: int | None) -> bool:
        """Ask the run with this key to stop. Return whether it is here."""
        with self._lock:
            asked = [each for each in self._in_hand if _is_of(each, run_id, attempt)]
            for handle in asked:
                handle.cancel(reason, by_force)
        return bool(asked)

    def break_off(self, current: CurrentRun, error: BaseException) -> bool:
        """Make a run fail with an error of one of its callbacks. Return whether it is here."""
        with self._lock:
            found = [handle for handle in self._in_hand if handle.is_known_as(current)]
            for handle in found:
                handle.break_off(error)
        return bool(found)

    def close(self, reason: str) -> None:
        """Ask all running runs to stop, and start no more."""
        with self._lock:
            self._queued.clear()
            for handle in self._in_hand:
                handle.cancel(reason, False)


def _is_of(handle: RunHandle, run_id: int, attempt: int | None) -> bool:
    # A worker that was frozen may have claimed again what was taken from it.
    return handle.run.pk == run_id and attempt in (None, handle.run.attempt)


class SlotPool:
    """The methods of `Pool` that all pools of slots share. A pool starts its runs in `_begin`."""

    noted: Noted | None = None

    def __init__(self, slots: int, now: Callable[[], datetime]) -> None:
        self._now = now
        self._slots = Slots(slots, self._begin)

    def execute(self, run: R, ended: OnOutcome[R], may_begin: MayBegin[R] = always) -> None:
        """Execute ``run`` when a slot is free; see `Pool.execute`."""
        self._slots.take(RunHandle(run, self._now, ended, may_begin, self.noted))

    def withdraw(self, run_id: int, *, attempt: int | None = None) -> bool:
        """Remove a run that has not started; see `Pool.withdraw`."""
        return self._slots.withdraw(run_id, attempt)

    def cancel(
        self, run_id: int, reason: str, *, by_force: bool = False, attempt: int | None = None
    ) -> bool:
        """Ask a run to stop; see `Pool.cancel`."""
        return self._slots.cancel(run_id, reason, by_force, attempt)

    def _begin(self, handle: RunHandle) -> None:
        """Start a run in its slot; see `Slots`."""
        raise NotImplementedError
