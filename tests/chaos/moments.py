"""One time line for everything: seconds since the epoch, carried on by the host's steady clock.

All processes of a host share the steady clock, and nobody can set it, so that its readings in
different processes can be compared.
"""

import time
from datetime import UTC, datetime

_OFFSET = time.time() - time.monotonic()


def now() -> float:
    return at(time.monotonic())


def at(steady: float) -> float:
    """Return the moment of a reading of the steady clock, by any process of this host."""
    return steady + _OFFSET


def of(moment: datetime | None) -> float | None:
    """Return a datetime on the time line."""
    return None if moment is None else round(moment.timestamp(), 6)


def datetime_of(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


def clock_time(moment: float | None) -> str:
    return "-" if moment is None else f"{datetime_of(moment):%H:%M:%S.%f}"[:-3]
