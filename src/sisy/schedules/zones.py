"""Spans of time in which a zone's offset from UTC stays the same."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from sisy.exceptions import ScheduleError, did_you_mean

LARGEST_CHANGE = timedelta(hours=3)
"""Like cron(8), Sisy treats a larger change of the clock as a correction of the calendar."""

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
ZERO = timedelta(0)

EXAMPLE = " Use a name such as 'Europe/Berlin'."


@dataclass(frozen=True, slots=True)
class Span:
    """A span in which local time is UTC plus ``offset``.

    Attributes:
        start: the first moment, in naive UTC.
        end: the first moment after the span, in naive UTC.
        change: how far the clock went forward at ``start``; negative if it went back, zero if the
            span continues the previous one.
    """

    start: datetime
    end: datetime
    offset: timedelta
    change: timedelta

    @property
    def is_after_gap(self) -> bool:
        """Return whether the clock skipped local times right before this span."""
        return ZERO < self.change <= LARGEST_CHANGE

    @property
    def is_after_fold(self) -> bool:
        """Return whether this span begins with local times that the clock repeats."""
        return -LARGEST_CHANGE <= self.change < ZERO


def zone_named(name: str) -> ZoneInfo:
    """Return a zone of the IANA database.

    Raises:
        ScheduleError: there is no zone with that name. The message suggests the nearest one.
    """
    if not isinstance(name, str) or not name:
        raise ScheduleError(f"{name!r:.80} is not a valid time zone.{EXAMPLE}")
    return _zone_named(name)


@lru_cache(maxsize=1024)
def _zone_named(name: str) -> ZoneInfo:
    try:
        if len(name) <= 64:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    hint = did_you_mean(name[:64], available_timezones()) or EXAMPLE
    raise ScheduleError(f"Unknown time zone {name!r:.80}.{hint}")


def known_zone(name: str) -> str | None:
    """Return the correct spelling of a zone's name, ignoring case; None if it is unknown."""
    return next((zone for zone in available_timezones() if zone.lower() == name.lower()), None)


def span_at(zone: ZoneInfo, moment: datetime) -> Span:
    """Return the span that contains ``moment``, in naive UTC."""
    for span in spans_of(zone, moment.year):
        if moment < span.end:
            return span
    raise AssertionError("a year's spans end with the year")


@lru_cache(maxsize=2048)
def spans_of(zone: ZoneInfo, year: int) -> tuple[Span, ...]:
    """Return the spans of a UTC year in order, cut at the ends of the year."""
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
    """Return the moment at which ``offset`` changes, to the second; ``end`` if it does not."""
    # Step forward until the offset is different, then search by halves.
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
