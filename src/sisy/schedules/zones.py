"""The spans of time during which a zone's offset from UTC stays the same."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from sisy.exceptions import ScheduleError
from sisy.suggestions import did_you_mean

LARGEST_CHANGE = timedelta(hours=3)
"""A larger change of the clock is a correction of the calendar: cron(8) treats it as such."""

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
ZERO = timedelta(0)


@dataclass(frozen=True, slots=True)
class Span:
    """From ``start`` to before ``end`` (naive UTC) local time is UTC plus ``offset``.

    Attributes:
        change: by how much the clock was set forward at ``start``; negative for back, zero where
            the span only continues the one before it.
    """

    start: datetime
    end: datetime
    offset: timedelta
    change: timedelta

    @property
    def is_after_gap(self) -> bool:
        """Return whether local times were left out right before this span."""
        return ZERO < self.change <= LARGEST_CHANGE

    @property
    def is_after_fold(self) -> bool:
        """Return whether this span begins with local times that there were already."""
        return -LARGEST_CHANGE <= self.change < ZERO


def zone_named(name: str) -> ZoneInfo:
    """Return the zone of the IANA database.

    Raises:
        ScheduleError: there is none of that name; the message has the nearest one.
    """
    if not isinstance(name, str) or not name:
        raise ScheduleError(
            f"{name!r:.80} is not a valid time zone. Use a name such as 'Europe/Berlin'."
        )
    return _zone_named(name)


@lru_cache(maxsize=1024)
def _zone_named(name: str) -> ZoneInfo:
    try:
        if len(name) <= 64:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    hint = did_you_mean(name[:64], available_timezones())
    raise ScheduleError(f"Unknown time zone {name!r:.80}.{hint}")


def known_zone(name: str) -> str | None:
    """Return the zone of the IANA database that has this name in any case; None if none has."""
    return next((zone for zone in available_timezones() if zone.lower() == name.lower()), None)


def span_at(zone: ZoneInfo, moment: datetime) -> Span:
    """Return the span in which the naive UTC ``moment`` lies."""
    for span in spans_of(zone, moment.year):
        if moment < span.end:
            return span
    raise AssertionError("a year's spans end with the year")


@lru_cache(maxsize=2048)
def spans_of(zone: ZoneInfo, year: int) -> tuple[Span, ...]:
    """Return the spans of a year of UTC and of Sisy's calendar, in order, cut at its ends."""
    start = datetime(year, 1, 1)
    end = datetime(year + 1, 1, 1)
    spans = []
    before = _offset(zone, start - SECOND)
    while start < end:
        offset = _offset(zone, start)
        change_at = _next_change(zone, start, end, offset)
        spans.append(Span(start, change_at, offset, offset - before))
        start, before = change_at, offset
    return tuple(spans)


def _next_change(zone: ZoneInfo, start: datetime, end: datetime, offset: timedelta) -> datetime:
    """Return when ``offset`` ceases to hold: found by the hour, then halved to the second."""
    step = 12 * HOUR
    probe = start
    while _offset(zone, probe) == offset:
        start = probe
        if probe >= end - SECOND:
            return end
        probe = min(probe + step, end - SECOND)
    low, high = start, probe
    while high - low > SECOND:
        middle = low + timedelta(seconds=(high - low) // SECOND // 2)
        low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
    return high


def _offset(zone: ZoneInfo, moment: datetime) -> timedelta:
    offset = moment.replace(tzinfo=UTC).astimezone(zone).utcoffset()
    assert offset is not None
    return offset
