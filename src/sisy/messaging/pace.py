"""Let one message stand for everything that happens shortly before it leaves."""

import threading


class Pace:
    """Decides when the next of many messages about the same subject leaves. Thread-safe.

    The first message after a pause leaves at once. What happens within the interval after it
    shares the next message, which leaves at the end of the interval.

    Args:
        interval: the minimum number of seconds between two messages.
        gather: the seconds that the first message waits, too, for what belongs to it.
    """

    def __init__(self, interval: float, gather: float = 0.0) -> None:
        self._interval = interval
        self._gather = gather
        self._leaves_at = float("-inf")
        self._lock = threading.Lock()

    def seconds_to_next(self, now: float) -> float | None:
        """Return the seconds after which the caller must send a message.

        Args:
            now: seconds by ``time.monotonic()``.

        Returns:
            None if an earlier caller's message leaves after ``now``: it stands for this one, too.
        """
        # Without the lock, since the moment only moves forward.
        if now < self._leaves_at:
            return None
        with self._lock:
            if now < self._leaves_at:
                return None
            self._leaves_at = max(now + self._gather, self._leaves_at + self._interval)
            return self._leaves_at - now
