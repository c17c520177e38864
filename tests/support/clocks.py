"""Clocks that tests set."""

from sisy import clock
from tests.support.moments import NOON


class SettableClock:
    """A clock that stands still until a test sets it."""

    def __init__(self, moment):
        self.moment = moment

    def now(self, using):
        return self.moment

    last_known = earliest = now

    def read_again(self, using):
        pass


class TwoClocks:
    """The database's clock and the steady one, which go on together unless a test says so."""

    def __init__(self):
        self.moment, self.seconds = NOON, 7000.0

    def now(self, using):
        return self.moment

    last_known = earliest = now

    def read_again(self, using):
        pass

    def go_on(self, by, steady=None):
        self.moment += by
        self.seconds += (by if steady is None else steady).total_seconds()


def clock_at(moment):
    """Let it be ``moment`` in a ``with`` block, which gets the clock."""
    return clock.use(SettableClock(moment))
