"""One time line for everything: seconds since the epoch, carried on by the host's steady clock.

All processes of a host share the steady clock, and nobody can set it, so that its readings in
different processes can be compared. It goes on while the host is suspended.
"""

import time
from datetime import UTC, datetime


def steady() -> float:
    """Read the steady clock, in seconds."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


_OFFSET = time.time() - steady()


def now() -> float:
    return at(steady())


def at(steady: float) -> float:
    """Return the moment of a reading of the steady clock, by any process of this host."""
    return steady + _OFFSET


def steady_at(moment: float) -> float:
    """Return the reading of the steady clock at a moment."""
    return moment - _OFFSET


def of(moment: datetime | None) -> float | None:
    """Return a datetime on the time line."""
    return None if moment is None else round(moment.timestamp(), 6)


def datetime_of(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


def clock_time(moment: float | None) -> str:
    return "-" if moment is None else f"{datetime_of(moment):%H:%M:%S.%f}"[:-3]


def exact_time(moment: float) -> str:
    """Return a clock time with its microseconds."""
    return f"{datetime_of(moment):%H:%M:%S.%f}"
