"""Limit how often messages are sent: one covers everything that happened shortly before it."""

import threading


class Pace:
    """Decides when to send the next message about a subject. Thread-safe.

    The first message after a pause is sent immediately. Everything that happens within the
    interval after it shares the next message, which is sent at the end of the interval.

    Args:
        interval: the minimum number of seconds between two messages.
        gather: the seconds by which the first message is delayed, to cover related events.
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
            None if an earlier caller will send a message after ``now``, which covers this one.
        """
        # Without the lock, since the moment only moves forward.
        if now < self._leaves_at:
            return None
        with self._lock:
            if now < self._leaves_at:
                return None
            self._leaves_at = max(now + self._gather, self._leaves_at + self._interval)
            return self._leaves_at - now
