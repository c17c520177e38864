"""Error messages for texts that are not schedules, with the nearest valid schedule.

Sisy accepts every schedule that a message suggests; a test checks that.
"""

import re
from collections.abc import Sequence
from math import log

from sisy.exceptions import did_you_mean
from sisy.schedules.names import ALIASES, WEEKDAYS
from sisy.schedules.zones import known_zone

SECOND, MINUTE, HOUR, DAY = 1, 60, 3600, 86_400
UNITS = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY, "w": 7 * DAY}
REPEATING = {
    **{step: f"* * * * * */{step}" for step in range(1, 60) if 60 % step == 0},
    **{step * MINUTE: f"*/{step} * * * *" for step in range(1, 60) if 60 % step == 0},
    **{step * HOUR: f"0 */{step} * * *" for step in range(1, 24) if 24 % step == 0},
    SECOND: "* * * * * *",
    MINUTE: "* * * * *",
    HOUR: "0 * * * *",
    DAY: "0 0 * * *",
    7 * DAY: "0 0 * * 0",
}
"""The intervals, in seconds, at which a schedule can repeat evenly."""

ZONE_FIRST = re.compile(r"(?:cron_)?tz=(\S*)\s*(.*)", re.IGNORECASE)
INTERVAL = re.compile(r"(?:@?every|rate)\b[\s(]*(.*?)\)?|(\d+ ?[a-z]+)")
AMOUNT = re.compile(r"(\d+) ?(?!mo)([smhdw])[a-z]*[\s,]*")
ONE = re.compile(r"(?!mo)([smhdw])[a-z]*")
WRAPPED = re.compile(r"cron\((.*)\)", re.IGNORECASE)
TIME = re.compile(r"(\d{1,2})(?::(\d\d))? ?(am|pm)?")
NOT_A_SECOND = re.compile(r"[a-gi-qs-z]|^[#/]|^\d+:\d", re.IGNORECASE)
YEARS = {6: re.compile(r"(19|20)\d\d([,/-][\d,/-]*)?"), 7: re.compile(r"\*|\d{4}[\d,/-]*")}
A_WEEKDAY = re.compile(rf"\b({'|'.join(WEEKDAYS)})", re.IGNORECASE)


def correct_expression(expression: str, texts: Sequence[str]) -> str:
    """Return the message if the expression is another kind of text, or an empty text.

    Args:
        texts: the fields of the expression, as typed.
    """
    text = expression.strip()
    if text[:1] in tuple("\"'`") and text[-1:] == text[:1]:
        return f"The schedule {text} is in quotes. Write {text[1:-1]}, without them."
    if match := WRAPPED.fullmatch(text):
        plain = _without_marks(match[1].split()[:5])
        return f"The schedule {text!r} is an AWS expression. Write {plain!r}."
    if match := ZONE_FIRST.fullmatch(text):
        return _zone_in_text(text, match[2], match[1])
    if len(texts) in (6, 7):
        if _begins_with_seconds(texts):
            return _seconds_last(text, texts)
        if NOT_A_SECOND.search(texts[-1]) and (zone := known_zone(texts[-1])):
            return _zone_in_text(text, " ".join(texts[:-1]), zone)
        if YEARS[len(texts)].fullmatch(texts[-1]):
            return (
                f"The schedule {text!r} ends with a year, but schedules have no field for it. "
                f"Write {' '.join(texts[:-1])!r}, and set start_running and end_running."
            )
    if len(texts) > 5 and not text.startswith("@") and NOT_A_SECOND.search(texts[5]):
        rest = " ".join(texts[5:])
        plain = " ".join(texts[:5])
        return f"The schedule {text!r} ends with {rest!r}, which is not a field. Write {plain!r}."
    if len(texts) in (5, 6):
        return ""
    return _instead_of_fields(text)


def probably_meant(expression: str) -> str:
    """Return the schedule that six fields were probably meant to be; an empty text if unknown."""
    # A minute that is a number, with seconds that are ``*``, is due 60 times in one minute. Such
    # text nearly always comes from Spring or Quartz, where seconds are first, or from AWS, where
    # the year is last.
    texts = expression.split()
    if len(texts) != 6 or texts[5] != "*" or not texts[0].isdigit():
        return ""
    if "?" in (texts[2], texts[4]):
        return _without_marks(texts[:5])
    return _without_marks([*texts[1:], *(texts[:1] if int(texts[0]) else ())])


def _instead_of_fields(text: str) -> str:
    """Return the message for a text without fields, such as an interval or a time of day."""
    lower = text.lower()
    if (match := INTERVAL.fullmatch(lower)) and (seconds := _seconds(match[1] or match[2] or "")):
        return _interval(text, seconds)
    if (match := TIME.fullmatch(lower)) and (match[2] or match[3]):
        if plain := daily(match):
            return f"The schedule {text!r} is a time of day. Write {plain!r}."
        return ""
    if lower == "@reboot":
        return (
            "The schedule '@reboot' has no time. Use a time such as '@daily', or call "
            "Task.run_once() when your site starts."
        )
    if text.startswith("@") or f"@{lower}" in ALIASES:
        hint = did_you_mean(f"@{lower.lstrip('@')}", ALIASES)
        known = ", ".join(ALIASES)
        return f"{text!r} is not a valid alias.{hint} Use five fields or one of {known}."
    return ""


def _seconds(interval: str) -> int:
    """Return the seconds of a text such as ``1h30m``, ``5 minutes`` or ``hour``; 0 otherwise."""
    if one := ONE.fullmatch(interval):
        return UNITS[one[1]]
    if re.fullmatch(rf"(?:{AMOUNT.pattern})+", interval):
        return sum(int(many) * UNITS[unit] for many, unit in AMOUNT.findall(interval))
    return 0


def _interval(text: str, seconds: int) -> str:
    said = f"The schedule {text!r} is an interval, but a schedule matches clock times."
    if seconds in REPEATING:
        return f"{said} Write {REPEATING[seconds]!r}."
    nearest = min(REPEATING, key=lambda known: abs(log(known / seconds)))
    return (
        f"{said} No schedule repeats at exactly this interval. The nearest is "
        f"{REPEATING[nearest]!r}."
    )


def daily(match: re.Match[str]) -> str:
    """Return the daily schedule for a match of `TIME`; an empty text if the time is invalid."""
    hour, minute = int(match[1]), int(match[2] or 0)
    if match[3]:
        hour = hour % 12 + (12 if match[3] == "pm" else 0)
    return f"{minute} {hour} * * *" if hour < 24 and minute < 60 else ""


def _zone_in_text(text: str, plain: str, zone: str) -> str:
    zone = known_zone(zone) or zone
    return (
        f"The schedule {text!r} contains a time zone. Write {plain!r}, "
        f"and set timezone to {zone!r}."
    )


def _begins_with_seconds(texts: Sequence[str]) -> bool:
    """Return whether the fields can only be those of Quartz or Spring, with seconds first."""
    has_no_such_day = texts[2] == "0" or texts[3] in ("0", "?")
    return has_no_such_day or "?" in texts[5] or A_WEEKDAY.search(texts[5]) is not None


def _seconds_last(text: str, texts: Sequence[str]) -> str:
    plain = _without_marks([*texts[1:6], *(texts[:1] if texts[0] != "0" else ())])
    weekdays = re.sub(r"#\d|/\d+", "", texts[5])
    counted = (
        " In Quartz, weekday 1 is Sunday; in Sisy, 1 is Monday." if _has_digit(weekdays) else ""
    )
    year = " Schedules have no field for the year." if len(texts) == 7 else ""
    return (
        f"The schedule {text!r} begins with seconds, as in Quartz and Spring. In Sisy, seconds "
        f"come last: write {plain!r}.{counted}{year}"
    )


def _has_digit(text: str) -> bool:
    return re.search(r"\d", text) is not None


def _without_marks(texts: Sequence[str]) -> str:
    return " ".join("*" if text == "?" else text for text in texts)
