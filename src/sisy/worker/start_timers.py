"""Call the functions of runs that were started ahead of their moment when it comes."""

import asyncio
from collections.abc import Callable, Iterable

from sisy import clock
from sisy.models import Run
from sisy.runtime.checkpoint import checkpoint

MAX_WAIT = 1.0  # seconds, much longer than a run is claimed before its moment


class StartTimers:
    """Keeps runs until their moment by the database's clock. Use it in one event loop.

    Args:
        using: the alias of the database.
        call: called with each run at its moment, never before.
        give_back: called with a run whose moment is far away, because the clock was set back.
    """

    # A timer only wakes. The reading of the database's clock decides whether the moment has come,
    # by the earliest time that it can be: the reading took a while, and clocks drift.

    def __init__(
        self, using: str, call: Callable[[Run], None], give_back: Callable[[Run], None]
    ) -> None:
        self._using = using
        self._call = call
        self._give_back = give_back
        self._timers: dict[tuple[int, int], tuple[Run, asyncio.TimerHandle]] = {}

    def call_at_its_moment(self, run: Run) -> None:
        """Call a run when it is ready, which may be now."""
        left = (run.ready_at - clock.earliest(self._using)).total_seconds()
        if 0 < left <= MAX_WAIT:
            loop = asyncio.get_running_loop()
            timer = loop.call_later(left, self.call_at_its_moment, run)
            self._timers[run.id, run.attempt] = run, timer
            checkpoint("start ahead: not called yet")
            return
        self._timers.pop((run.id, run.attempt), None)
        if left <= 0:
            self._call(run)
        else:
            self._give_back(run)

    def withdraw(self, runs: Iterable[Run]) -> list[Run]:
        """Stop the timers of those runs that were not called yet, and return these."""
        return [run for run in runs if self._stop((run.id, run.attempt))]

    def _stop(self, key: tuple[int, int]) -> bool:
        found = self._timers.pop(key, None)
        if found is None:
            return False
        found[1].cancel()
        return True
