"""The number of runs that a worker claims ahead, derived from the duration of recent runs."""

AHEAD = 0.1  # seconds of work that may wait in a worker
MAX_PREFETCH = 500
WEIGHT = 0.1  # the weight of the latest run in the moving average


class PrefetchLimit:
    """Keeps a moving average of how long runs take.

    Args:
        slots: the number of runs that can run at once.
    """

    # Each claim and each record is a transaction, so short runs are claimed many at a time. If
    # runs take longer than a tenth of a second, none is claimed before a slot is free for it.
    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._mean = AHEAD

    @property
    def ahead(self) -> int:
        """The number of runs that may wait for a slot: about 0.1 s of work, at most 500."""
        at_once = self._slots * AHEAD / max(self._mean, 1e-6)
        return max(0, min(MAX_PREFETCH, int(at_once) - self._slots))

    def note(self, seconds: float) -> None:
        """Add the duration of a finished run."""
        # Rise at once, fall slowly: claiming too many ahead delays runs, claiming too few only
        # costs CPU.
        self._mean += (seconds - self._mean) * (1.0 if seconds > self._mean else WEIGHT)

    def slow_down(self) -> None:
        """Claim none ahead until runs have been short again."""
        self._mean = AHEAD
