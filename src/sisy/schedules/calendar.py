"""The calendar of Sisy: the years 1000 to 9998.

Python's ``datetime`` has the years 1 to 9999, so that near their ends the local time of a moment,
or the moment of a local time, need not exist. Within Sisy's calendar both always do, in every
zone, and every database stores them. What computes with a moment that a person or a row gave takes
it through `within` or `just_before`; input that is not `is_within` is rejected.
"""

from datetime import UTC, datetime, timedelta

TICK = timedelta(microseconds=1)

FIRST = datetime(1000, 1, 1, tzinfo=UTC)
LAST = datetime(9998, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
YEARS = f"{FIRST.year} to {LAST.year}"


def is_within(moment: datetime) -> bool:
    """Return whether an aware moment lies in the calendar."""
    return FIRST <= moment <= LAST


def within(moment: datetime) -> datetime:
    """Return an aware moment in UTC; of one outside of the calendar, the nearer end.

    Raises:
        ValueError: it has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(
            f"{moment!r} has no time zone. Pass an aware datetime, for example with tzinfo=UTC."
        )
    if moment <= FIRST:
        return FIRST
    return LAST if moment >= LAST else moment.astimezone(UTC)


def just_before(moment: datetime) -> datetime:
    """Return the last moment before one, in UTC: what comes after it may be due at ``moment``."""
    return max(FIRST, within(moment) - TICK)
