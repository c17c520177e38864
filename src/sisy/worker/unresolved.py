"""Runs whose function a worker does not find, and which it releases for others that may.

While a new version is rolled out, old workers claim runs of functions that only the new ones have.
An old worker releases such a run without counting an attempt, and leaves all runs of that function
to others for a while, so that they keep it neither busy nor from the runs behind them. Then it
tries one again, since its own code may have changed, too.

A run that no worker could call for ``SISY_MISSING_CODE_SECONDS`` fails by the reason for which it
was released.
"""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from sisy import conf
from sisy.execution import Outcome
from sisy.models import Run
from sisy.worker.ending import Ended
from sisy.worker.handover import give_back

LONGEST_LEAVE = 30.0  # seconds
SHORTEST_DELAY, LONGEST_DELAY = timedelta(seconds=1), timedelta(seconds=15)


class Unresolved:
    """The functions that a worker did not find lately, by their paths."""

    def __init__(self) -> None:
        self._left_until: dict[str, float] = {}

    def note(self, ended: Ended) -> list[Run]:
        """Take note of what was released, and return it."""
        released = [run for run, outcome in ended if outcome.others_may_call_it]
        leave = min(LONGEST_LEAVE, conf.get_settings().missing_code_seconds / 4)
        for run in released:
            self._left_until[run.target_path] = time.monotonic() + leave
        return released

    def paths(self) -> frozenset[str]:
        """Return what is left to others now; callable from any thread."""
        now = time.monotonic()
        return frozenset(path for path, until in list(self._left_until.items()) if until > now)


def is_to_be_released(run: Run, outcome: Outcome, now: datetime) -> bool:
    """Whether another worker may still call the function of a run that this one did not find."""
    if not outcome.others_may_call_it:
        return False
    since = run.unresolved_since or now
    return bool(now < since + conf.get_settings().missing_code)


def release(using: str, ended: Sequence[tuple[Run, Outcome]], now: datetime) -> None:
    """Let other workers have runs that this one could not call; call it in a transaction."""
    for run, outcome in ended:
        since = run.unresolved_since or now
        # Another engine's workers cannot be told to leave it to others, so it comes back later.
        delay = min(max(now - since, SHORTEST_DELAY), LONGEST_DELAY) if run.engine else timedelta()
        reason = f"Released for another worker: {outcome.reason}"[:500]
        give_back(using, [run], reason, now, unresolved_since=since, ready_at=now + delay)
