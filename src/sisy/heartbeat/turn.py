"""The time that a pass of the heartbeat may take before it checks for due tasks again."""

from sisy import clock


class Turn:
    """The time that one pass has for work of any length.

    Work of any length is done in chunks: one of them in any case, and more until the turn ends.
    What is left waits for the next pass, which comes at once: it renews the lease and plans what
    fell due meanwhile before it goes on.

    Args:
        seconds: how long; by default without end, so that one pass does all that there is.

    Attributes:
        has_left_work: whether work was left to the next pass.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._end = None if seconds is None else clock.steady() + seconds
        self.has_left_work = False

    def ends_here(self) -> bool:
        """Return whether to leave the rest to the next pass; ask only where there is a rest."""
        # Slowness alone is no reason for another pass: on a busy host none would ever wait.
        if self._end is not None and clock.steady() >= self._end:
            self.has_left_work = True
            return True
        return False


ENDLESS = Turn()
