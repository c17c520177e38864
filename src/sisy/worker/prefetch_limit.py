"""The number of runs that a worker claims ahead, by the duration of its runs."""

AHEAD = 0.1  # seconds of work that may wait in a worker
MAX_PREFETCH = 500
WEIGHT = 0.1  # of the latest run in the mean


class PrefetchLimit:
    """Knows how long runs have taken lately.

    Short runs are worth winning many at a time: each claim and each record is a transaction. Of
    runs that take longer than a tenth of a second, none is won before a slot is free for it.

    Args:
        slots: how many runs go on at once.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._mean = AHEAD

    @property
    def ahead(self) -> int:
        """The number of runs that may wait for a slot: about 0.1 s of work, at most 500."""
        at_once = self._slots * AHEAD / max(self._mean, 1e-6)
        return max(0, min(MAX_PREFETCH, int(at_once) - self._slots))

    def note(self, seconds: float) -> None:
        """Take into account how long a run took."""
        self._mean += (seconds - self._mean) * (1.0 if seconds > self._mean else WEIGHT)

    def slow_down(self) -> None:
        """Win none ahead for now: what was won ahead has waited for too long."""
        self._mean = AHEAD
