"""When to renew what is remembered and may be wrong."""

from sisy import clock

INTERVAL = 2.0  # seconds
INTERVAL_IN_DOUBT = 0.5
# A slow renewal is made less often, so that it does not keep the process busy.
LARGEST_SHARE = 0.01


class Renewal:
    """Says when the next renewal is due: every two seconds, and at once in the beginning."""

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
        """Have the next renewal half a second after the last one, since something seems wrong."""
        self._next = min(self._next, self._ended + INTERVAL_IN_DOUBT)
