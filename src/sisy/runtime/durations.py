"""The format of durations, and of moments in a zone, in errors, log lines, commands and pages."""

from datetime import datetime, timedelta, tzinfo

from django.utils.translation import gettext, ngettext

UNITS = ((86_400, ""), (3600, "h"), (60, "min"), (1, "s"))
"""Seconds and symbol of each unit from a second on. Days are spelled out."""


def duration_text(value: timedelta) -> str:
    """Return a duration as ``12 ms``, ``1.25 s``, ``45 s``, ``1 h 30 min`` or ``2 days 3 h``.

    From a minute on, it is rounded to seconds, and only its two largest units are named.
    """
    seconds = value.total_seconds()
    if seconds < 0:
        return f"-{duration_text(-value)}"
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if round(seconds) < 60:
        return f"{seconds:.0f} s" if seconds.is_integer() else f"{seconds:.2f} s"
    return " ".join(_parts(round(seconds))[:2])


def rounded_text(value: timedelta) -> str:
    """Return a duration for a sentence: like `duration_text`, but without fractions of seconds.

    A duration of less than half a second stays in milliseconds.
    """
    seconds = round(value.total_seconds())
    return duration_text(timedelta(seconds=seconds) if seconds else value)


def largest_unit(value: timedelta) -> str:
    """Return a duration in its largest unit, rounded down: ``45 s``, ``1 h`` or ``2 days``."""
    return (_parts(int(value.total_seconds())) or ["0 s"])[0]


def in_zone(value: datetime, zone: tzinfo) -> str:
    """Return a moment to the second, with the name of its zone."""
    return f"{value.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"


def minute_after(last: datetime) -> datetime:
    """Return the next full minute, which ends a range with this last moment."""
    return last.replace(second=0, microsecond=0) + timedelta(minutes=1)


def range_in_zone(since: datetime, until: datetime, zone: tzinfo) -> str:
    """Return two moments as ``2026-05-05 01:10:00 to 03:25:00 UTC``.

    The date and the zone are named twice only if they differ.
    """
    first, last = since.astimezone(zone), until.astimezone(zone)
    is_same_zone, is_same_day = first.tzname() == last.tzname(), first.date() == last.date()
    begin = f"{first:%Y-%m-%d %H:%M:%S}" if is_same_zone else in_zone(since, zone)
    end = f"{last:%H:%M:%S %Z}" if is_same_day else in_zone(until, zone)
    return gettext("%(since)s to %(until)s") % {"since": begin, "until": end}


def _parts(rest: int) -> list[str]:
    parts = []
    for size, symbol in UNITS:
        number, rest = divmod(rest, size)
        if number:
            days = ngettext("%d day", "%d days", number) % number
            parts.append(f"{number} {symbol}" if symbol else days)
    return parts
