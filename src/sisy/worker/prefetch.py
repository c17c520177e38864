"""The unfinished runs that a worker has claimed."""

import time
from collections.abc import Iterator
from datetime import timedelta

from sisy.execution import Outcome
from sisy.models import Run
from sisy.worker.prefetch_limit import AHEAD, PrefetchLimit

PREFETCH_TIMEOUT = 2 * AHEAD  # seconds that a run may wait in a worker for a slot


class InFlight:
    """Runs by their key and attempt: one that was lost and won again is in hand twice.

    Args:
        slots: how many of them go on at once.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._pace = PrefetchLimit(slots)
        self._runs: dict[tuple[int, int], Run] = {}
        self._won_at: dict[tuple[int, int], float] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs.values()))

    @property
    def room(self) -> int:
        """The number of runs to claim: for free slots, and some ahead if runs are short."""
        return max(0, self._slots + self._pace.ahead - len(self._runs))

    @property
    def has_run_low(self) -> bool:
        """Return whether it is time to win more: half of what may wait does not wait any more."""
        return len(self._runs) < self._slots or self.room > self._pace.ahead // 2

    @property
    def holds_some_ahead(self) -> bool:
        """Return whether some of the runs wait for a slot."""
        return len(self._runs) > self._slots

    def take(self, run: Run) -> None:
        """Have a run in hand from now on."""
        key = run.pk, run.attempt
        self._runs[key], self._won_at[key] = run, time.monotonic()

    def drop(self, run: Run, outcome: Outcome | None = None) -> bool:
        """Have it in hand no longer, since it ended or is given back; return whether it was."""
        key = run.pk, run.attempt
        if self._runs.pop(key, None) is None:
            return False
        del self._won_at[key]
        if outcome is not None:
            taken: timedelta = outcome.finished_at - outcome.started_at
            self._pace.note(taken.total_seconds())
        return True

    def overdue(self) -> list[Run]:
        """Return what has been in hand for longer than a run may wait, whether it waits or not."""
        before = time.monotonic() - PREFETCH_TIMEOUT
        return [self._runs[key] for key, at in self._won_at.items() if at < before]

    def slow_down(self) -> None:
        """Win none ahead for now."""
        self._pace.slow_down()
