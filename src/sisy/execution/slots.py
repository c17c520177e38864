"""Limit the number of runs that a pool executes at once. The others wait for a slot."""

import threading
from collections import deque
from collections.abc import Callable

from sisy.execution.outcome import NotCalled
from sisy.execution.pool import NotReady
from sisy.execution.run_handle import RunHandle
from sisy.runtime.current import CurrentRun


class Slots:
    """The runs of a pool, of which up to ``number`` run at a time.

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

    def take(self, going: RunHandle) -> None:
        """Start a run now, or when a slot becomes free."""
        with self._lock:
            self._in_hand.add(going)
            if not self._free:
                self._queued.append(going)
                return
            self._free -= 1
        self._start(going)

    def end(self, going: RunHandle) -> None:
        """Pass the slot of a finished run to the next run, and start that."""
        following = self.pass_on(going)
        if following is not None:
            self._start(following)

    def pass_on(self, going: RunHandle) -> RunHandle | None:
        """Pass the slot of a finished run to the run that has waited longest.

        Returns that run, which the caller must start; None if the slot is free.
        """
        with self._lock:
            self._in_hand.discard(going)
            if self._queued:
                return self._queued.popleft()
            self._free += 1
            return None

    def _start(self, going: RunHandle) -> None:
        """Start a run. If the pool is not ready, report this and all later runs as not called."""
        following: RunHandle | None = going
        while following is not None:
            try:
                self._begin(following)
                return
            except NotReady as error:
                failed, following = following, self.pass_on(following)
                failed.report(NotCalled(reason=f"{error}."))

    def withdraw(self, run_id: int) -> bool:
        """Remove the run with this key if it has not started. Return whether it was removed."""
        with self._lock:
            for going in self._queued:
                if going.run.pk == run_id:
                    self._queued.remove(going)
                    self._in_hand.discard(going)
                    return True
        return False

    def cancel(self, run_id: int, reason: str, by_force: bool) -> bool:
        """Ask the run with this key to stop. Return whether it is here."""
        with self._lock:
            asked = [going for going in self._in_hand if going.run.pk == run_id]
            for going in asked:
                going.cancel(reason, by_force)
        return bool(asked)

    def break_off(self, current: CurrentRun, error: BaseException) -> bool:
        """Make a run fail with an error that one of its callbacks raised. Return if it is here."""
        with self._lock:
            found = [going for going in self._in_hand if going.is_known_as(current)]
            for going in found:
                going.break_off(error)
        return bool(found)

    def close(self, reason: str) -> None:
        """Ask all running runs to stop, and start no more."""
        with self._lock:
            self._queued.clear()
            for going in self._in_hand:
                going.cancel(reason, False)
