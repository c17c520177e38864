"""Release runs whose function this worker cannot find, so that other workers can execute them.

During a rolling deploy, old workers claim runs of functions that only new workers have. An old
worker releases such a run without counting an attempt. It then leaves all runs of that function to
others for a while, so that they neither keep it busy nor block the runs behind them. After that it
tries one again, because its own code may have changed, too.

If no worker could call the function for ``SISY_MISSING_CODE_SECONDS``, the run fails, with the
reason for which it was released.
"""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from sisy import conf
from sisy.execution import Outcome
from sisy.lifecycle.release import release
from sisy.models import Run
from sisy.store.outcomes import Ended

LONGEST_LEAVE = 30.0  # seconds
SHORTEST_DELAY, LONGEST_DELAY = timedelta(seconds=1), timedelta(seconds=15)


class Unresolved:
    """The functions that a worker could not find recently, by their dotted paths."""

    def __init__(self) -> None:
        self._left_until: dict[str, float] = {}

    def note(self, ended: Ended[Run]) -> list[Run]:
        """Remember the functions of released runs, and return those runs."""
        released = [run for run, outcome in ended if outcome.others_may_call_it]
        # Try several times before the run would fail for missing code.
        leave = min(LONGEST_LEAVE, conf.get_settings().missing_code_seconds / 4)
        for run in released:
            self._left_until[run.target_path] = time.monotonic() + leave
        return released

    def paths(self) -> frozenset[str]:
        """Return the paths that are left to others now. Thread-safe."""
        now = time.monotonic()
        return frozenset(path for path, until in list(self._left_until.items()) if until > now)


def is_to_be_released(run: Run, outcome: Outcome, now: datetime) -> bool:
    """Return whether to release a run, because another worker may find its function."""
    if not outcome.others_may_call_it:
        return False
    since = run.unresolved_since or now
    return bool(now < since + conf.get_settings().missing_code)


def release_unresolved(using: str, ended: Sequence[tuple[Run, Outcome]], now: datetime) -> None:
    """Release runs whose function this worker could not find. Call in a transaction."""
    for run, outcome in ended:
        since = run.unresolved_since or now
        # Workers of another engine cannot skip a function, so delay the run instead.
        delay = min(max(now - since, SHORTEST_DELAY), LONGEST_DELAY) if run.engine else timedelta()
        reason = f"Released for another worker: {outcome.reason}"[:500]
        release(using, [run], reason, now, unresolved_since=since, ready_at=now + delay)
