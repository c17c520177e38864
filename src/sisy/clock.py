"""The current time by the database's clock, so that hosts with different clocks agree.

It is read only by the loops of heartbeats and workers, and by methods that change tasks and runs,
such as ``Task.save()``. They pass ``now`` to the functions that they call.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from django.db import connections

TRUSTED_FOR = 5.0  # seconds until the database's clock is read again
EXACT_FOR = 0.9  # the same, before runs are started ahead of their moment
MAX_ERROR = 0.001  # seconds by which a reading may be wrong that is not read again
# The most by which the host's clock may run faster than the database's.
MAX_DRIFT = 0.0005

NOW_SQL = {
    "postgresql": "clock_timestamp() AT TIME ZONE 'UTC'",
    "mysql": "UTC_TIMESTAMP(6)",
}
"""The expression for a database's clock. SQLite has none."""

LONGEST_ANSWER = 0.01  # seconds that a statement may take whose reading of the clock is used
MAX_TRIES = 3  # times that the clock is read if each answer takes longer

# Unlike the monotonic clock, the boot clock continues while the host is suspended.
_steady_clock = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """A source of the current time."""

    def now(self, using: str) -> datetime:
        """Return the time as an aware UTC datetime. May query the database ``using``."""

    def last_known(self, using: str) -> datetime:
        """Return the time without a query, based on the last reading."""

    def earliest(self, using: str) -> datetime:
        """Return the earliest time that it can be, based on the last reading."""

    def read_again(self, using: str) -> None:
        """Read the database's clock, unless the last reading is exact."""


def steady() -> float:
    """Return seconds by a clock that cannot be set and continues while the host is suspended."""
    return time.clock_gettime(_steady_clock) if _steady_clock is not None else time.monotonic()


@dataclass(frozen=True, slots=True)
class Reading:
    """A reading of the database's clock.

    Attributes:
        at: when it was read, by the steady clock.
        moment: what it said.
        error: the maximum error of ``at``, in seconds.
        connection: the driver's connection, because another one may lead to another server.
    """

    at: float
    moment: datetime
    error: float
    connection: Any

    def carried_on(self) -> datetime:
        """Return the time by this reading."""
        return self.moment + timedelta(seconds=steady() - self.at)

    def earliest(self) -> datetime:
        """Return the earliest time that it can be by this reading."""
        age = steady() - self.at
        return self.moment + timedelta(seconds=age * (1 - MAX_DRIFT) - self.error)


class DatabaseClock:
    """Reads the database's clock, and adds the host's steady clock between readings.

    SQLite has no clock, so the host's wall clock is used there.

    Args:
        trusted_for: seconds until the database's clock is read again.
    """

    # This way, it does not matter if the host's wall clock is wrong, or is set while Sisy runs.
    def __init__(self, trusted_for: float = TRUSTED_FOR) -> None:
        self._trusted_for = trusted_for
        self._readings: dict[str, Reading] = {}

    def now(self, using: str) -> datetime:
        reading = self._readings.get(using)
        if reading is not None and steady() - reading.at <= self._trusted_for:
            return reading.carried_on()
        sql = NOW_SQL.get(connections[using].vendor)
        return datetime.now(UTC) if sql is None else self._read(using, sql).carried_on()

    def last_known(self, using: str) -> datetime:
        reading = self._readings.get(using)
        return datetime.now(UTC) if reading is None else reading.carried_on()

    def earliest(self, using: str) -> datetime:
        reading = self._readings.get(using)
        return datetime.now(UTC) if reading is None else reading.earliest()

    def read_again(self, using: str) -> None:
        reading, connection = self._readings.get(using), connections[using]
        is_exact = (
            reading is not None
            and reading.connection is connection.connection
            and reading.error <= MAX_ERROR
            and steady() - reading.at <= EXACT_FOR
        )
        sql = NOW_SQL.get(connection.vendor)
        if sql is not None and not is_exact:
            self._read(using, sql)

    def _read(self, using: str, sql: str) -> Reading:
        """Read the clock, again if the answer takes long, and keep the most exact reading."""
        found: list[tuple[float, datetime, float, float]] = []
        with connections[using].cursor() as cursor:
            # An edit just after a due moment must not seem to come before it.
            while len(found) < MAX_TRIES and (not found or min(found)[0] > LONGEST_ANSWER):
                asked = steady()
                cursor.execute(f"SELECT {sql}")
                value: datetime = cursor.fetchone()[0]
                answered = steady()
                found.append((answered - asked, value, asked, answered))
        return self._keep(using, *min(found)[1:])

    def note(self, using: str, value: datetime, asked: float, answered: float) -> None:
        """Use a reading that came with another statement. A slow one is too inexact.

        Args:
            value: the moment, as the database returned it.
            asked, answered: when the statement was sent and answered, by `steady`.
        """
        if answered - asked <= LONGEST_ANSWER:
            self._keep(using, value, asked, answered)

    def _keep(self, using: str, value: datetime, asked: float, answered: float) -> Reading:
        moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
        # The database has read its clock at some moment between these two; assume the middle.
        middle, error = (asked + answered) / 2, (answered - asked) / 2
        reading = Reading(middle, moment, error, connections[using].connection)
        self._readings[using] = reading
        return reading


_clock: Clock = DatabaseClock()


def now(using: str) -> datetime:
    """Return the current time of the database ``using`` as an aware UTC datetime."""
    return _clock.now(using)


def last_known(using: str) -> datetime:
    """Return the current time like `now`, but without a query, so it is safe in async code."""
    return _clock.last_known(using)


def note(using: str, value: datetime | None, asked: float, answered: float) -> None:
    """Note a reading of the database's clock that came with another statement.

    Args:
        value: the moment, as the database returned it; None of SQLite.
        asked, answered: when the statement was sent and answered, by `steady`.
    """
    if value is not None and isinstance(_clock, DatabaseClock):
        _clock.note(using, value, asked, answered)


def earliest(using: str) -> datetime:
    """Return the earliest time that it can be by that clock, without a query.

    It is half a round trip behind `last_known` after a reading, and 0.05 % of the reading's age.
    """
    return _clock.earliest(using)


def read_again(using: str) -> None:
    """Read that clock, unless this connection did in the last 0.9 seconds, to a millisecond."""
    _clock.read_again(using)


@contextmanager
def use(clock: Clock) -> Iterator[Clock]:
    """Use another clock in this process, for tests and forecasts."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield clock
    finally:
        _clock = before
