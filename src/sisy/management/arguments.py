"""Read the arguments of commands: numbers, moments and keys of runs."""

import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.management.base import CommandError
from django.utils import timezone

from sisy.schedules import calendar

MAX_COUNT = 1_000_000_000
"""The largest number of rows that an option accepts."""


def whole(least: int = 0, most: int | None = None) -> Callable[[str], int]:
    """Return the type of a whole number from ``least`` to ``most``; None means no upper limit."""
    wanted = f" of at least {least}" if most is None else f" from {least} to {most}"

    def read(text: str) -> int:
        # 20 digits are enough for any number in a database, and int() is slow for very long texts.
        if text.isascii() and text.isdigit() and len(text) <= 20:
            number = int(text)
            if least <= number and (most is None or number <= most):
                return number
        raise ArgumentTypeError(f"{text!r} is not valid. Use a whole number{wanted}")

    return read


def measure(unit: str, most: float) -> Callable[[str], float]:
    """Return the type of a number from 0 to ``most`` of a unit, such as "seconds"."""

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = -1.0
        if 0 <= number <= most:  # NaN is not
            return number
        raise ArgumentTypeError(f"{text!r} is not valid. Use 0 to {most:g} {unit}")

    return read


RUN = re.compile(r"(?:.*#|run\s+)?([0-9]{1,18})", re.IGNORECASE)
"""``7``, ``#7``, ``run 7``, and ``label #7`` as in log lines."""

EPOCH = re.compile(r"[0-9]{1,11}\.[0-9]{1,6}")
"""The ``ts`` of the message that a callable receives."""

AGO = re.compile(r"(\d{1,6})\s*(s|sec|m|min|h|d|days?|w)")
AGO_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

DISTANCE = re.compile(r"\s+(?:now|in \d+ \w+|\d+ \w+ ago)$")
WEEKDAY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)\s+", re.IGNORECASE)
TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d{1,6})?)?")
ZONE = re.compile(r"\s+([A-Za-z][A-Za-z0-9_+/-]*|[+-]\d{2}(?:\d{2})?)$")
DAY = timedelta(days=1)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def run_key(text: str) -> int | None:
    """Return the key of the run that a text names; None if it is not a run."""
    found = RUN.fullmatch(text.strip())
    return int(found[1]) if found else None


def moment(text: str, zone: tzinfo, now: datetime) -> datetime:
    """Return the moment that a text names.

    Args:
        text: ISO 8601, or any form that a page, command or log line shows: with a zone or its
            abbreviation, with a weekday, or only a time, which is one of today.
        zone: the zone of a text that names none.

    Raises:
        CommandError: the text is not valid; the message shows valid forms.
    """
    return within_calendar(_read(text, zone, now))


def moment_or_ago(text: str, zone: tzinfo, now: datetime) -> datetime:
    """Return the moment that a text names: as for `moment`, or how long ago, such as "90m".

    Raises:
        CommandError: the text is not valid; the message shows valid forms.
    """
    found = AGO.fullmatch(text.strip())
    if found is None:
        try:
            return moment(text, zone, now)
        except CommandError as error:
            raise CommandError(
                f"{text!r} is not a valid time. Use a duration before now, such as 30m, 2h or 7d, "
                "or a moment, such as '12:00', '2026-05-05 12:00' or 2026-05-05T12:00+02:00."
            ) from error
    ago = timedelta(**{AGO_UNITS[found[2][0]]: int(found[1])})
    try:
        return within_calendar(now - ago)
    except OverflowError:
        raise CommandError(f"{text!r} is too long ago. Use at most 9999d.") from None


def within_calendar(moment: datetime) -> datetime:
    """Return an aware moment.

    Raises:
        CommandError: it lies outside the years 1000 to 9998.
    """
    if not calendar.is_within(moment):
        raise CommandError(
            f"'{moment}' is not a valid date and time. Use a year from {calendar.YEARS}."
        )
    return moment


def _read(text: str, zone: tzinfo, now: datetime) -> datetime:
    bare = DISTANCE.sub("", text.strip())
    if EPOCH.fullmatch(bare):
        return datetime.fromtimestamp(float(bare), UTC).astimezone(zone)
    weekday = WEEKDAY.match(bare)
    rest = bare[weekday.end() :] if weekday else bare
    with suppress(ValueError, OverflowError):
        if (iso := _parsed(rest)) is not None:
            return iso if timezone.is_aware(iso) else iso.replace(tzinfo=zone)
        suffix = ZONE.search(rest)
        named = suffix[1] if suffix else ""
        clock = rest[: suffix.start()] if suffix else rest
        day = DAYS.index(weekday[1].lower()) if weekday else None
        for where in _zones(named, zone):
            for local in _locals(clock, day, where, now):
                if found := _matching(local, named, where):
                    return found
    raise CommandError(
        f"{text!r} is neither a valid date and time nor a run. Use '2026-05-05 12:00', "
        "'2026-05-05 12:00:00 CEST', '2026-05-05T12:00+02:00', '12:00' or a run such as '#7'."
    )


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _zones(named: str, zone: tzinfo) -> Iterator[tzinfo]:
    """Yield the zones that a name or an abbreviation may mean."""
    if named in ("UTC", "GMT", "Z"):
        yield UTC
        return
    if "/" in named:
        with suppress(ValueError, ZoneInfoNotFoundError):
            yield ZoneInfo(named)
        return
    yield zone
    if named:
        yield timezone.get_default_timezone()


def _locals(clock: str, weekday: int | None, where: tzinfo, now: datetime) -> Iterable[datetime]:
    """Return the naive moments that a date with a time, or only a time, may mean."""
    if (full := _parsed(clock)) is not None:
        return [full]
    if not TIME.fullmatch(clock):
        return []
    today = now.astimezone(where).replace(tzinfo=None)
    hour = datetime.fromisoformat(f"{today:%Y-%m-%d} {clock.zfill(5)}")
    if weekday is None:
        return [hour]
    days = [hour + n * DAY for n in (0, -1, 1, -2, 2, -3, 3)]
    return [each for each in days if each.weekday() == weekday]


def _matching(local: datetime, named: str, where: tzinfo) -> datetime | None:
    """Return a naive moment in a zone; the abbreviation decides if it occurs twice there."""
    if timezone.is_aware(local):
        return None
    for fold in (0, 1):
        found = local.replace(tzinfo=where, fold=fold)
        if not named or "/" in named or named in ("UTC", "GMT", "Z") or found.tzname() == named:
            return found
    return None
