"""The current time by the database's clock, so that hosts whose clocks differ agree.

Only the outermost loops and the records' own ``save()`` ask; everything else is given ``now``.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol

from django.db import connections

TRUSTED_FOR = 5.0  # seconds for which one reading of the database's clock is carried on

NOW_SQL = {
    "postgresql": "SELECT clock_timestamp() AT TIME ZONE 'UTC'",
    "mysql": "SELECT UTC_TIMESTAMP(6)",
}

# Suspended hosts: the boot clock goes on while the host sleeps, the monotonic one does not.
_steady_clock = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """Anything that knows the time."""

    def now(self, using: str) -> datetime:
        """Return the moment as an aware UTC datetime; may ask the database ``using``."""

    def last_known(self, using: str) -> datetime:
        """Return the moment without asking a database, as good as the last reading was."""


def steady() -> float:
    """Return seconds by a clock that nobody can set, and that goes on while the host sleeps."""
    return _steady()


def _steady() -> float:
    return time.clock_gettime(_steady_clock) if _steady_clock is not None else time.monotonic()


class DatabaseClock:
    """Reads the database's clock and carries it on by the host's steady clock between readings.

    A host whose wall clock is wrong, or is set while Sisy runs, thereby decides nothing. SQLite
    has no clock of its own: there the host's wall clock counts.
    """

    def __init__(self) -> None:
        self._readings: dict[str, tuple[float, datetime]] = {}

    def now(self, using: str) -> datetime:
        sql = NOW_SQL.get(connections[using].vendor)
        if sql is None:
            return datetime.now(UTC)
        reading = self._readings.get(using)
        if reading is None or _steady() - reading[0] > TRUSTED_FOR:
            reading = self._read(using, sql)
        return self._carried_on(reading)

    def last_known(self, using: str) -> datetime:
        reading = self._readings.get(using)
        return datetime.now(UTC) if reading is None else self._carried_on(reading)

    def _carried_on(self, reading: tuple[float, datetime]) -> datetime:
        at, moment = reading
        return moment + timedelta(seconds=_steady() - at)

    def _read(self, using: str, sql: str) -> tuple[float, datetime]:
        with connections[using].cursor() as cursor:
            asked = _steady()
            cursor.execute(sql)
            value: datetime = cursor.fetchone()[0]
            answered = _steady()
        moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        reading = ((asked + answered) / 2, moment)
        self._readings[using] = reading
        return reading


_clock: Clock = DatabaseClock()


def now(using: str) -> datetime:
    """Return the moment as an aware UTC datetime, by the clock of the database ``using``."""
    return _clock.now(using)


def last_known(using: str) -> datetime:
    """Return the moment as `now` does, without asking the database: safe in async code."""
    return _clock.last_known(using)


@contextmanager
def use(clock: Clock) -> Iterator[Clock]:
    """Let another clock tell the time in this process, for tests and forecasts."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield clock
    finally:
        _clock = before
