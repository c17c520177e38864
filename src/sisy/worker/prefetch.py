"""The runs that a worker has claimed and not finished, and how many it claims ahead."""

import asyncio
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

from sisy.execution import Outcome
from sisy.models import Run

PREFETCH_SECONDS = 0.1  # seconds of work that may wait in a worker
PREFETCH_TIMEOUT = 2 * PREFETCH_SECONDS  # seconds that a claimed run may wait for a slot
MAX_PREFETCH = 500
LATEST_WEIGHT = 0.2  # the weight of the latest run in the moving average


class PrefetchLimit:
    """Keeps a moving average of how long runs take.

    Args:
        slots: the number of runs that can run at once.
    """

    # Each claim and each record is a transaction, so short runs are claimed many at a time. If
    # runs take longer than a tenth of a second, none is claimed before a slot is free for it.
    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._mean = PREFETCH_SECONDS

    @property
    def ahead(self) -> int:
        """The number of runs that may wait for a slot: about 0.1 s of work, at most 500."""
        at_once = self._slots * PREFETCH_SECONDS / max(self._mean, 1e-6)
        return max(0, min(MAX_PREFETCH, int(at_once) - self._slots))

    def note(self, seconds: float) -> None:
        """Add the duration of a finished run."""
        # Rise at once, fall slowly: claiming too many ahead delays runs, claiming too few only
        # costs CPU.
        self._mean += (seconds - self._mean) * (1.0 if seconds > self._mean else LATEST_WEIGHT)

    def slow_down(self) -> None:
        """Claim none ahead until runs have been short again."""
        self._mean = PREFETCH_SECONDS


class InFlight:
    """The claimed runs, those that are running and those that wait for a slot.

    Args:
        slots: the number of runs that can run at once.

    Attributes:
        may_have_more: whether the last claim filled all the room, so that more may be queued.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self.may_have_more = False
        self._pace = PrefetchLimit(slots)
        # By key and attempt: a run that was lost and claimed again by this worker is here twice.
        self._runs: dict[tuple[int, int], Run] = {}
        # Since when each of them has waited for a slot, or been in one.
        self._called_at: dict[tuple[int, int], float] = {}

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(list(self._runs.values()))

    @property
    def attempts(self) -> set[tuple[int, int]]:
        """The key and the attempt of each run. Thread-safe."""
        return set(self._runs)

    @property
    def room(self) -> int:
        """The number of runs to claim: one per free slot, and some ahead if runs are short."""
        return max(0, self._slots + self._pace.ahead - len(self._called_at))

    def room_at(self, now: datetime) -> int:
        """Return the same at a moment: runs that become ready by then take their slots."""
        if len(self._called_at) == len(self._runs):
            return self.room
        early = (run for key, run in self._runs.items() if key not in self._called_at)
        return max(0, self.room - len([run for run in early if run.ready_at <= now]))

    @property
    def early_room(self) -> int:
        """The number of runs to start ahead of their moment; 0 if no slot is free."""
        is_free = len(self._runs) < self._slots
        return self._slots + self._pace.ahead - len(self._runs) if is_free else 0

    @property
    def has_run_low(self) -> bool:
        """Return whether there is enough room for another claim."""
        # Refill when half of the runs claimed ahead have started, so that slots do not run dry
        # during the claim, and a claim is not made for each single run.
        return len(self._called_at) < self._slots or self.room > self._pace.ahead // 2

    @property
    def needs_refill(self) -> bool:
        """Return whether to claim more runs, and whether more may be queued."""
        return self.may_have_more and self.has_run_low

    @property
    def exceeds_slots(self) -> bool:
        """Return whether some runs wait for a slot, or will when they become ready."""
        return len(self._runs) > self._slots

    @property
    def has_waiting(self) -> bool:
        """Return whether some runs wait for a slot."""
        return len(self._called_at) > self._slots

    def take(self, run: Run, *, is_early: bool = False) -> None:
        """Add a run that was claimed.

        Args:
            is_early: whether its moment is still to come. Until then, others may have its slot.
        """
        self._runs[run.id, run.attempt] = run
        self._is_empty.clear()
        if not is_early:
            self.note_ready(run)

    def note_ready(self, run: Run) -> None:
        """Record that a run has become ready."""
        self._called_at[run.id, run.attempt] = time.monotonic()

    def drop(self, run: Run, outcome: Outcome | None = None) -> bool:
        """Remove a run that has finished or is released. Return whether it was there."""
        key = run.id, run.attempt
        if self._runs.pop(key, None) is None:
            return False
        self._called_at.pop(key, None)
        if not self._runs:
            self._is_empty.set()
        if outcome is not None:
            taken: timedelta = outcome.finished_at - outcome.started_at
            self._pace.note(taken.total_seconds())
        return True

    async def wait_until_empty(self) -> None:
        """Return when no run is left."""
        await self._is_empty.wait()

    def overdue(self) -> list[Run]:
        """Return the runs called longer ago than a run may wait, including running ones."""
        before = time.monotonic() - PREFETCH_TIMEOUT
        return [self._runs[key] for key, at in self._called_at.items() if at < before]

    def slow_down(self) -> None:
        """Claim none ahead for now."""
        self._pace.slow_down()
