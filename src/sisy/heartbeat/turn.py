"""The time that a pass of the heartbeat may take before it checks for due tasks again."""

from sisy import clock


class Turn:
    """The time that one pass has for long work.

    Long work is done in chunks: at least one, and more until the turn ends. The next pass follows
    at once. It first renews the lease and plans what is due, and then continues the work.

    Args:
        seconds: the length of the turn; None for no limit.

    Attributes:
        has_left_work: whether work was left to the next pass.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._end = None if seconds is None else clock.steady() + seconds
        self.has_left_work = False

    def ends_here(self) -> bool:
        """Return whether to leave the rest to the next pass. Call only if work is left."""
        # Only remaining work calls for another pass at once. If slowness alone did, a heartbeat on
        # a busy host would never wait.
        if self._end is not None and clock.steady() >= self._end:
            self.has_left_work = True
            return True
        return False


ENDLESS = Turn()
