"""Decide when to renew a remembered value that may be wrong."""

from sisy import clock

INTERVAL = 2.0  # seconds
INTERVAL_IN_DOUBT = 0.5
# A slow renewal is made less often, so that it does not keep the process busy.
LARGEST_SHARE = 0.01


class Renewal:
    """Decides when the next renewal is due: immediately at first, then every two seconds."""

    def __init__(self) -> None:
        self._began = self._ended = self._next = 0.0

    def is_due(self) -> bool:
        """Return whether to renew now."""
        return clock.steady() >= self._next

    def begin(self) -> None:
        """Note that a renewal begins."""
        self._began = clock.steady()

    def end(self) -> None:
        """Note that the renewal has ended, which decides when the next one is due."""
        self._ended = clock.steady()
        self._next = self._ended + max(INTERVAL, (self._ended - self._began) / LARGEST_SHARE)

    def hasten(self) -> None:
        """Make the next renewal due half a second after the last one, as the value seems wrong."""
        self._next = min(self._next, self._ended + INTERVAL_IN_DOUBT)
