"""What the database's clock showed at any moment of the host's steady clock, and how surely.

No function may be called before its moment by the database's clock. A function that asked the
database for the time would be told a later time than that of its call. Instead, each function
reads the steady clock first of all, and this process reads the database's clock all the time:

    before  <=  the moment at which the database read its clock  <=  after

So each reading bounds by how much the database's clock is ahead of the steady clock. The bounds
widen with the distance from the reading, since the operating system may slew one of the clocks. At
each moment, the narrowest bounds of all readings nearby hold.

SQLite has no clock: Sisy uses the host's wall clock instead, and so does this module.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError, connection, connections

from tests.chaos import moments
from tests.chaos.evidence import Span

NOW = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mysql": "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000",
}

LARGEST_SLEW = 0.0005
"""The part of the time that passes by which an operating system slews a clock at most."""

READ_EVERY = 0.1  # seconds
NEARBY = 3.0  # seconds


@dataclass(frozen=True, slots=True)
class Reading:
    """The database's clock showed ``moment`` at some time from ``before`` to ``after``.

    Attributes:
        before, after: by the steady clock, in seconds.
        moment: in seconds since the epoch.
    """

    before: float
    moment: float
    after: float

    def bounds(self, steady: float) -> Span:
        """Return between which moments the database's clock was at a moment of the steady one."""
        slew = LARGEST_SLEW * max(abs(steady - self.before), abs(steady - self.after))
        passed = steady - self.after, steady - self.before
        return self.moment + passed[0] - slew, self.moment + passed[1] + slew


class DatabaseClock:
    """The readings of a run, in order."""

    def __init__(self, readings: Sequence[Reading]) -> None:
        self._readings = readings
        self._times = [reading.before for reading in readings]

    def bounds(self, steady: float) -> Span:
        """Return between which moments the database's clock was at a moment of the steady one.

        If it was set at that time, nobody knows: the bounds are those of all readings together.
        """
        first = bisect_left(self._times, steady - NEARBY)
        last = bisect_left(self._times, steady + NEARBY)
        # At least those just before and just after, if the database was away for long.
        closest = bisect_left(self._times, steady)
        nearby = self._readings[min(first, max(closest - 1, 0)) : max(last, closest + 1)]
        each = [reading.bounds(steady) for reading in nearby]
        lows, highs = [low for low, _ in each], [high for _, high in each]
        if max(lows) <= min(highs):
            return max(lows), min(highs)
        return min(lows), max(highs)


def read() -> Reading:
    """Read the clock of the database of this thread's connection."""
    sql = NOW.get(connection.vendor)
    if sql is None:
        return Reading(moments.steady(), time.time(), moments.steady())
    with connection.cursor() as cursor:
        before = moments.steady()
        cursor.execute(sql)
        [moment] = cursor.fetchone()
        after = moments.steady()
    return Reading(before, float(moment), after)


class ClockWatch:
    """Reads the database's clock several times a second, in a thread of its own.

    Args:
        read: reads it once.
    """

    def __init__(self, read: Callable[[], Reading] = read) -> None:
        self.readings: list[Reading] = []
        self._read = read
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "ClockWatch":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ending.set()
        self._thread.join()

    def clock(self) -> DatabaseClock:
        return DatabaseClock(list(self.readings))

    def _watch(self) -> None:
        while not self._ending.wait(READ_EVERY):
            try:
                self.readings.append(self._read())
            except (DatabaseError, InterfaceError):
                connections.close_all()
        connections.close_all()
