"""The deadline until which a worker waits for a child process that executes a run."""

import time

ACCEPT_TIMEOUT = 30.0  # seconds for a child to accept an order
ACCEPT_CHECK_INTERVAL = 0.5  # seconds between two checks whether it has


class RunDeadline:
    """Decides how long to wait for the child.

    Args:
        limit: the seconds that the run may take; None for no limit.

    Attributes:
        moment: in seconds of the monotonic clock; None to wait forever.
    """

    # The time of a run starts when the child accepts it. Nothing wakes the worker at that moment,
    # so it checks whether the child has accepted the run when the time would be over.
    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._began = self._begins = time.monotonic()
        self._was_accepted = False
        self.moment: float | None = self._began + min(limit or ACCEPT_TIMEOUT, ACCEPT_TIMEOUT)

    def is_over(self, has_accepted: bool) -> bool:
        """Return whether to give up, at the deadline. If not, the deadline is moved."""
        now = time.monotonic()
        if self._was_accepted or (not has_accepted and now >= self._began + ACCEPT_TIMEOUT):
            return True
        self._was_accepted = has_accepted
        if not has_accepted:
            self._begins = now
            self.moment = now + ACCEPT_CHECK_INTERVAL
        else:
            self.moment = None if self._limit is None else self._begins + self._limit
        return False
