"""The calendar of Sisy: the years 1000 to 9998.

Python's ``datetime`` covers the years 1 to 9999. Near both ends, a moment may have no local time,
and a local time no moment. Within Sisy's calendar both always exist, in every zone, and every
database can store them. Code that computes with a moment from a user or a row passes it through
`within` or `just_before`. Input for which `is_within` is false is rejected.
"""

from datetime import UTC, datetime, timedelta

TICK = timedelta(microseconds=1)

FIRST = datetime(1000, 1, 1, tzinfo=UTC)
LAST = datetime(9998, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
YEARS = f"{FIRST.year} to {LAST.year}"


def is_within(moment: datetime) -> bool:
    """Return whether an aware moment is in the calendar."""
    return FIRST <= moment <= LAST


def within(moment: datetime) -> datetime:
    """Return an aware moment in UTC, limited to the calendar.

    Raises:
        ValueError: the moment has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(
            f"{moment!r} has no time zone. Pass an aware datetime, for example with tzinfo=UTC."
        )
    if moment <= FIRST:
        return FIRST
    return LAST if moment >= LAST else moment.astimezone(UTC)


def just_before(moment: datetime) -> datetime:
    """Return the last moment before ``moment``, in UTC, so that a search after it includes it."""
    return max(FIRST, within(moment) - TICK)
