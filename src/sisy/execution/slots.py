"""Lets a certain number of runs go on at once; others that are in hand wait for their turn."""

import threading
from collections import deque
from collections.abc import Callable

from sisy.current import CurrentRun
from sisy.execution.outcome import NotCalled
from sisy.execution.pool import NotReady
from sisy.execution.run_handle import RunHandle


class Slots:
    """The runs that a pool has in hand, of which up to ``number`` go on at a time.

    The same run may be in hand twice: that happens to a worker which froze, lost its lease, and
    won its own run again.

    Args:
        begin: has a run carried out, and its slot passed on in the end; it must not block. It
            may raise `NotReady`.
    """

    def __init__(self, number: int, begin: Callable[[RunHandle], None]) -> None:
        self._free = number
        self._begin = begin
        self._in_hand: set[RunHandle] = set()
        self._queued: deque[RunHandle] = deque()
        self._lock = threading.Lock()

    def take(self, going: RunHandle) -> None:
        """Take a run in hand; it begins at once, or when others have ended."""
        with self._lock:
            self._in_hand.add(going)
            if not self._free:
                self._queued.append(going)
                return
            self._free -= 1
        self._start(going)

    def end(self, going: RunHandle) -> None:
        """Give the slot of a run that is over to another one, which begins."""
        following = self.pass_on(going)
        if following is not None:
            self._start(following)

    def pass_on(self, going: RunHandle) -> RunHandle | None:
        """Give the slot of a run that is over to the one that waits for the longest time.

        Returns that one, for the caller to begin; None if the slot is free.
        """
        with self._lock:
            self._in_hand.discard(going)
            if self._queued:
                return self._queued.popleft()
            self._free += 1
            return None

    def _start(self, going: RunHandle) -> None:
        """Begin a run; if the pool cannot begin any, return it and those that wait behind it."""
        following: RunHandle | None = going
        while following is not None:
            try:
                self._begin(following)
                return
            except NotReady as error:
                failed, following = following, self.pass_on(following)
                failed.report(NotCalled(reason=f"{error}."))

    def withdraw(self, run_id: int) -> bool:
        """Take back the run with this key if it has not begun, and return whether that was so."""
        with self._lock:
            for going in self._queued:
                if going.run.pk == run_id:
                    self._queued.remove(going)
                    self._in_hand.discard(going)
                    return True
        return False

    def cancel(self, run_id: int, reason: str, by_force: bool) -> bool:
        """Ask the run with this key to end; return whether it is in hand."""
        with self._lock:
            asked = [going for going in self._in_hand if going.run.pk == run_id]
            for going in asked:
                going.cancel(reason, by_force)
        return bool(asked)

    def break_off(self, current: CurrentRun, error: BaseException) -> bool:
        """Let a run end as failed with an error that left it; return whether it is in hand."""
        with self._lock:
            found = [going for going in self._in_hand if going.is_known_as(current)]
            for going in found:
                going.break_off(error)
        return bool(found)

    def close(self, reason: str) -> None:
        """Ask all that go on to end, and begin no more."""
        with self._lock:
            self._queued.clear()
            for going in self._in_hand:
                going.cancel(reason, False)
