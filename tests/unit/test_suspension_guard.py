"""Who slept does not judge: how long a heartbeat has watched without a break."""

from datetime import timedelta

import pytest

from sisy.heartbeat.clock_watch import SuspensionGuard
from tests.support.moments import NOON

HOUR = 3600.0
BOOTED = 5000.0


class Watcher:
    """A vigil of 10 seconds that 15 seconds without a look break, and the clocks beside it."""

    def __init__(self):
        self.guard = SuspensionGuard(
            length=timedelta(seconds=10), break_after=timedelta(seconds=15)
        )
        self.now, self.steady = NOON, BOOTED
        self.look()

    def look(self, after=0.0, by_steady=None):
        """Look once more, so many seconds later by each clock; return whether it is kept."""
        self.now += timedelta(seconds=after)
        self.steady += after if by_steady is None else by_steady
        self.guard.look(self.now, self.steady)
        return self.guard.may_judge

    def looks(self, times):
        return [self.look(1) for _ in range(times)]


@pytest.fixture
def watcher():
    return Watcher()


@pytest.fixture
def on_watch(watcher):
    assert watcher.looks(20)[-1]
    return watcher


def test_the_guard_judges_nothing_before_the_first_look():
    assert not SuspensionGuard(timedelta(0), timedelta(seconds=15)).may_judge


def test_a_guard_that_has_just_started_watches_first(watcher):
    assert watcher.looks(10) == [False] * 9 + [True]


def test_a_guard_that_keeps_watching_keeps_judging(on_watch):
    assert all(on_watch.looks(100))


@pytest.mark.parametrize(
    ("after", "by_steady"),
    [
        pytest.param(HOUR, HOUR, id="the host was suspended, or the database away"),
        pytest.param(HOUR, 1.0, id="the clock was set forward"),
        pytest.param(-HOUR, 1.0, id="the clock was set back"),
        pytest.param(1.0, HOUR, id="the host slept, and its database with it"),
    ],
)
def test_a_suspension_restarts_the_watch(on_watch, after, by_steady):
    assert not on_watch.look(after, by_steady)
    assert on_watch.looks(10) == [False] * 9 + [True]


def test_a_slow_moment_is_not_a_suspension(on_watch):
    assert on_watch.look(14.9)
    assert on_watch.look(1)


def test_a_host_that_wakes_for_moments_only_never_judges(on_watch):
    """Its workers have no time to be heard of either."""
    for _ in range(20):
        assert not on_watch.look(HOUR)
        assert not any(on_watch.looks(9))
