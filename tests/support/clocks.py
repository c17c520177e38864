"""Clocks that tests set."""

from sisy import clock


class SettableClock:
    """A clock that stands still until a test sets it."""

    def __init__(self, moment):
        self.moment = moment

    def now(self, using):
        return self.moment

    def last_known(self, using):
        return self.moment


def clock_at(moment):
    """Let it be ``moment`` in a ``with`` block, which gets the clock."""
    return clock.use(SettableClock(moment))
