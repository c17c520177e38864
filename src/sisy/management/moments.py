"""Read the moments in the arguments of commands: every command accepts the same forms."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo

from django.core.management.base import CommandError
from django.utils import timezone

from sisy.exceptions import ScheduleError
from sisy.management.arguments import invalid
from sisy.reports.formatting import zone_named
from sisy.runtime import durations
from sisy.schedules import calendar, zones

FORMS = "30m, 2h, 7d, or a time such as 12:00 or '2026-05-05 12:00'"
"""Some forms of a moment, for the help of an option."""

EPOCH = re.compile(r"[0-9]{1,11}\.[0-9]{1,6}")
"""The ``ts`` of the message that a callable receives."""

UNIT = r"(s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:(?:ou)?rs?)?|d(?:ays?)?|w(?:eeks?)?)"
PART = re.compile(rf"([0-9]{{1,6}})\s*{UNIT}", re.IGNORECASE)
DURATION = re.compile(rf"(in\s+|\+)?((?:[0-9]{{1,6}}\s*{UNIT}\s*)+?)(\s+ago)?", re.IGNORECASE)
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

DISTANCE = re.compile(r"\s+(?:now|in \d+ \w+|\d+ \w+ ago)$")
WEEKDAY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun)\s+", re.IGNORECASE)
TIME = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d{1,6})?)?")
ZONE = re.compile(r"\s+([A-Za-z][A-Za-z0-9_+/-]*|[+-]\d{2}(?:\d{2})?)$")
DAY = timedelta(days=1)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def past(text: str, zone: str, now: datetime, *, alternative: str = "") -> datetime:
    """Return the moment that a text names; a duration, such as "90m", means that long ago.

    Args:
        text: a duration, "now", ISO 8601, or any form that a page, command or log line shows: with
            a zone or its abbreviation, with a weekday, or only a time, which is one of today.
        zone: the name of the zone of a text that names none.
        alternative: what else the argument may be, with an example, such as "a run such as '#7'".

    Raises:
        CommandError: the text is not valid, and the message shows valid forms; or it names no zone
            and the zone, which a task may have, does not exist.
    """
    return _moment(text, zone, now, sign=-1, alternative=alternative)


def future(text: str, zone: str, now: datetime) -> datetime:
    """Return the moment that a text names: as for `past`, but "90m" means in that time."""
    return _moment(text, zone, now, sign=1)


def until(text: str | None, zone: str, now: datetime) -> datetime | None:
    """Return the moment of an option ``--until`` that ends something; None if it was not given.

    A time without a date is the next one, so that "08:30" means tomorrow if it is over today.

    Raises:
        CommandError: as for `past`, or the moment is not in the future.
    """
    if text is None:
        return None
    moment = future(text, zone, now)
    if moment <= now and _is_time(text):
        moment = _nearest(text, zone, now, sign=1)
    if moment > now:
        return moment
    raise invalid(
        f"--until is in the past: {durations.in_zone(moment, zone_named(zone))}. Use a later "
        "moment, or a duration from now, such as 2h."
    )


def past_range(start: str, end: str, zone: str, now: datetime) -> tuple[datetime, datetime]:
    """Return the moments of FROM and TO; see `past_between`.

    Raises:
        CommandError: one is not valid, or the range is empty, or ends in the future.
    """
    first, last = past_between(start, end, zone, now)
    where = zone_named(zone)
    if last > now:
        raise invalid(
            f"TO ({durations.in_zone(last, where)}) is in the future. Use a moment in the past, "
            f"such as now: it is {durations.in_zone(now, where)}.{_counts(end, 'back from now')}"
        )
    return first, last


def past_between(
    start: str, end: str, zone: str, now: datetime, names: tuple[str, str] = ("FROM", "TO")
) -> tuple[datetime, datetime]:
    """Return the moments of a range; see `past`. Two times of day may have a midnight between.

    Args:
        names: the names of the two arguments.

    Raises:
        CommandError: one is not valid, or the range is empty.
    """
    first, last = past(start, zone, now), past(end, zone, now)
    if last <= first and _is_time(start) and _is_time(end):
        first = _nearest(start, zone, last, sign=-1)
    _check_order(first, last, (start, end), names, zone, "back from now")
    return first, last


def future_range(start: str, end: str, zone: str, now: datetime) -> tuple[datetime, datetime]:
    """Return the moments of FROM and TO; see `future`. A time of day TO is the next after FROM.

    Two times of day that are over today are those of the next day.

    Raises:
        CommandError: one is not valid, or the range is empty.
    """
    first, last = future(start, zone, now), future(end, zone, now)
    if last <= first and _is_time(end):
        last = _nearest(end, zone, first, sign=1)
    if last <= now and _is_time(start) and _is_time(end):
        first = _nearest(start, zone, now, sign=1)
        last = _nearest(end, zone, first, sign=1)
    _check_order(first, last, (start, end), ("FROM", "TO"), zone, "from now")
    return first, last


def _check_order(
    first: datetime,
    last: datetime,
    texts: tuple[str, str],
    names: tuple[str, str],
    zone: str,
    count: str,
) -> None:
    if first < last:
        return
    (start, end), where = names, zone_named(zone)
    hint = _counts(texts[1], count) or _counts(texts[0], count)
    raise invalid(
        f"{start} ({durations.in_zone(first, where)}) is not before {end} "
        f"({durations.in_zone(last, where)}).{hint}"
    )


def _counts(text: str, count: str) -> str:
    """Return how a duration is read, if a text is one."""
    found = DURATION.fullmatch(text.strip())
    return f" Here, a duration such as {text.strip()!r} counts {count}." if found else ""


def _is_time(text: str) -> bool:
    return TIME.fullmatch(text.strip()) is not None


def _nearest(text: str, zone: str, moment: datetime, *, sign: int) -> datetime:
    """Return the first moment after another, or before it, that has a time of day."""
    # Half a day at a time, because a day may have 23 or 25 hours.
    nearby = (_moment(text, zone, moment + sign * n * DAY / 2, sign=sign) for n in range(4))
    return next(each for each in nearby if (each - moment) * sign > timedelta())


def _moment(text: str, zone: str, now: datetime, *, sign: int, alternative: str = "") -> datetime:
    moment = _relative(text, now, sign) or _absolute(text, zone, now)
    if moment is None:
        wrong = "neither a valid date and time nor a run" if alternative else ""
        raise invalid(
            f"{text!r} is {wrong or 'not a valid date and time'}. Use a duration, such as 30m, 2h "
            "or 7d, 'now', or a moment, such as '12:00', '2026-05-05 12:00', '2026-05-05 12:00:00 "
            f"CEST' or 2026-05-05T12:00+02:00{alternative and f', or {alternative}'}."
        )
    if not calendar.is_within(moment):
        raise invalid(
            f"{text.strip()!r} is not a valid date and time. Use a year from {calendar.YEARS}."
        )
    return moment


def _relative(text: str, now: datetime, sign: int) -> datetime | None:
    """Return the moment of "now", or of a duration from now; None if the text is neither."""
    if text.strip().lower() == "now":
        return now
    found = DURATION.fullmatch(text.strip())
    if found is None or (found[1] and found[4]):
        return None
    sign = 1 if found[1] else -1 if found[4] else sign
    parts = [(int(number), UNITS[unit[0].lower()]) for number, unit in PART.findall(found[2])]
    try:
        moment = now + sign * sum((timedelta(**{unit: n}) for n, unit in parts), timedelta())
        if calendar.is_within(moment):
            return moment
    except OverflowError:
        pass
    raise invalid(f"{text!r} is too {'far ahead' if sign > 0 else 'long ago'}. Use at most 9999d.")


def _absolute(text: str, zone: str, now: datetime) -> datetime | None:
    bare = DISTANCE.sub("", text.strip())
    if EPOCH.fullmatch(bare):
        return datetime.fromtimestamp(float(bare), UTC)
    weekday = WEEKDAY.match(bare)
    rest = bare[weekday.end() :] if weekday else bare
    with suppress(ValueError, OverflowError):
        if (iso := _parsed(rest)) is not None:
            return iso if timezone.is_aware(iso) else iso.replace(tzinfo=_existing(zone))
        suffix = ZONE.search(rest)
        named = suffix[1] if suffix else ""
        clock = rest[: suffix.start()] if suffix else rest
        day = DAYS.index(weekday[1].lower()) if weekday else None
        for where in _zones(named, zone):
            for local in _locals(clock, day, where, now):
                if found := _matching(local, named, where):
                    return found
    return None


def _existing(zone: str) -> tzinfo:
    try:
        return zones.zone_named(zone)
    except ScheduleError as error:
        raise CommandError(
            f"{error} Correct the task, or use a moment with its offset from UTC, such as "
            "2026-05-05T12:00+00:00."
        ) from error


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _zones(named: str, zone: str) -> Iterator[tzinfo]:
    """Yield the zones that a name or an abbreviation may mean."""
    if named in ("UTC", "GMT", "Z"):
        yield UTC
        return
    if "/" in named:
        with suppress(ScheduleError):
            yield zones.zone_named(named)
        return
    yield _existing(zone)
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
