"""The messages for what people type instead of a schedule, with the nearest valid one.

`correct_expression` sees every text and recognises those that no schedule looks like;
`correct_field` sees fields that croniter rejected. What a message tells people to write is always
something that Sisy accepts: the tests read it back.
"""

import re
from collections.abc import Callable, Sequence
from math import log

from sisy.nearest import did_you_mean
from sisy.schedules.names import ALIASES, MONTHS, NUMBERS, WEEKDAYS, number_of
from sisy.schedules.zones import known_zone

EXPECTED = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, 'l', 'lw' or '15w'",
    "month": f"1 to 12, or {', '.join(MONTHS)}",
    "day-of-week": f"0 to 7, or {', '.join(WEEKDAYS)}, 'mon#2' or 'l5'",
    "second": "0 to 59",
}
DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

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
"""The intervals in seconds at which a schedule can repeat evenly."""

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
    """Return the message for an expression that is another kind of text; else the empty text.

    Args:
        texts: its fields, as they were typed.
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
                f"The schedule {text!r} ends with a year, and there is no field for it. Write "
                f"{' '.join(texts[:-1])!r}, and set start_running and end_running."
            )
    if len(texts) > 5 and not text.startswith("@") and NOT_A_SECOND.search(texts[5]):
        rest = " ".join(texts[5:])
        plain = " ".join(texts[:5])
        return f"The schedule {text!r} ends with {rest!r}, which is not a field. Write {plain!r}."
    if len(texts) in (5, 6):
        return ""
    return _instead_of_fields(text)


def probably_meant(expression: str) -> str:
    """Return what six fields were probably meant to be, if they are due each second of a minute.

    Their seconds are ``*`` while their minute is a plain number: such text nearly always comes
    from Spring or Quartz, which name seconds first, or from AWS, which names the year last.
    """
    texts = expression.split()
    if len(texts) != 6 or texts[5] != "*" or not texts[0].isdigit():
        return ""
    if "?" in (texts[2], texts[4]):
        return _without_marks(texts[:5])
    return _without_marks([*texts[1:], *(texts[:1] if int(texts[0]) else ())])


def correct_field(field: str, typed: str) -> str:
    """Return the message for the text of a field that cannot be read."""
    if field == "day-of-week" and (message := _mixed_weekdays(typed)):
        return f"{field}: {message}"
    for item in typed.split(","):
        for correct in (*OF_A_FIELD.get(field, ()), *OF_ANY_FIELD):
            if fix := correct(item.lower(), field):
                return f"{field}: {item!r} is not a valid value. {fix}"
    return f"{field}: {typed!r} is not a valid value. Use {EXPECTED[field]}."


def _instead_of_fields(text: str) -> str:
    """Return the message for a text of no fields at all, such as an interval or a time of day."""
    lower = text.lower()
    if (match := INTERVAL.fullmatch(lower)) and (seconds := _seconds(match[1] or match[2] or "")):
        return _interval(text, seconds)
    if (match := TIME.fullmatch(lower)) and (match[2] or match[3]):
        if plain := _daily(match):
            return f"The schedule {text!r} is a time of day. Write {plain!r}."
        return ""
    if lower == "@reboot":
        return (
            "The schedule '@reboot' names no time. Use a time such as '@daily', or call "
            "Task.run_once() where your site starts."
        )
    if text.startswith("@") or f"@{lower}" in ALIASES:
        hint = did_you_mean(f"@{lower.lstrip('@')}", ALIASES)
        known = ", ".join(ALIASES)
        return f"{text!r} is not a valid alias.{hint} Use five fields or one of {known}."
    return ""


def _seconds(interval: str) -> int:
    """Return the seconds of ``1h30m``, ``5 minutes`` or ``hour``; 0 if it is none of these."""
    if one := ONE.fullmatch(interval):
        return UNITS[one[1]]
    if re.fullmatch(rf"(?:{AMOUNT.pattern})+", interval):
        return sum(int(many) * UNITS[unit] for many, unit in AMOUNT.findall(interval))
    return 0


def _interval(text: str, seconds: int) -> str:
    said = f"The schedule {text!r} is an interval, and a schedule names times of the clock."
    if seconds in REPEATING:
        return f"{said} Write {REPEATING[seconds]!r}."
    nearest = min(REPEATING, key=lambda known: abs(log(known / seconds)))
    return f"{said} None repeats exactly so; the nearest is {REPEATING[nearest]!r}."


def _daily(match: re.Match[str]) -> str:
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
    """Whether the fields can only be those of Quartz or Spring, which name seconds first."""
    has_no_such_day = texts[2] == "0" or texts[3] in ("0", "?")
    return has_no_such_day or "?" in texts[5] or A_WEEKDAY.search(texts[5]) is not None


def _seconds_last(text: str, texts: Sequence[str]) -> str:
    plain = _without_marks([*texts[1:6], *(texts[:1] if texts[0] != "0" else ())])
    weekdays = re.sub(r"#\d|/\d+", "", texts[5])
    counted = (
        " In Quartz, weekday 1 is Sunday; in Sisy, 1 is Monday." if _has_digit(weekdays) else ""
    )
    year = " There is no field for the year." if len(texts) == 7 else ""
    return (
        f"The schedule {text!r} begins with the seconds, as in Quartz and Spring. "
        f"Sisy reads seconds last: write {plain!r}.{counted}{year}"
    )


def _has_digit(text: str) -> bool:
    return re.search(r"\d", text) is not None


def _without_marks(texts: Sequence[str]) -> str:
    return " ".join("*" if text == "?" else text for text in texts)


def _mixed_weekdays(typed: str) -> str:
    """Return the message for ``mon#1,3``: plain weekdays beside those of one week."""
    first, *others = typed.split(",")
    day, mark, _ = first.partition("#")
    if mark and others and all(re.fullmatch(r"[1-5]", other) for other in others):
        meant = ",".join([first, *(f"{day}#{other}" for other in others)])
        return f"{typed!r} is not a valid value. Write {meant!r}."
    plain = [
        item for item in typed.split(",") if number_of("day-of-week", item.lower()) is not None
    ]
    if (
        plain
        and len(plain) <= len(others)
        and ("#" in typed or re.search(r"\bl\d", typed.lower()))
    ):
        return (
            f"{typed!r} is not a valid value: it mixes every {plain[0]} with single weeks of the "
            "month. Use two tasks."
        )
    return ""


def _last_weekday(item: str, field: str) -> str:
    if item == "l":
        return (
            "Write 'l5' for the last Friday of the month, or 'l' in day-of-month for the last day."
        )
    match = re.fullmatch(r"(\w+?)(?:l|#l|#-1)|l-?(\D\w*)", item)
    number = number_of(field, _short(match[1] or match[2], field)) if match else None
    if number is None or number > 6:
        return ""
    return f"Write 'l{number}' for the last {DAY_NAMES[number]} of the month."


def _which_weekday(item: str, field: str) -> str:
    match = re.fullmatch(r"(\w+)#(\d+)", item)
    number = number_of(field, match[1]) if match else None
    if match is None or number is None:
        return ""
    name = match[1]
    return (
        f"A month has at most five of a weekday. Use '{name}#1' to '{name}#5', "
        f"or 'l{number}' for the last {DAY_NAMES[number]}."
    )


def _day_from_the_end(item: str, field: str) -> str:
    if not re.fullmatch(r"l-\w+|-\d+", item):
        return ""
    return "Use 'l' for the last day, 'lw' for the last weekday of the month, or 1 to 31."


def _nearest_weekday(item: str, field: str) -> str:
    if "w" not in item or _short(item, "day-of-week") in WEEKDAYS:
        return ""
    return "Use '15w' for the weekday nearest to a day, or 'lw' for the last weekday of the month."


def _nothing(item: str, field: str) -> str:
    return "" if item else "Remove the extra comma; a list has no spaces, as in '1,15'."


def _step_alone(item: str, field: str) -> str:
    match = re.fullmatch(r"/(\d+)|\*(\d+)|\*/(\d+)[a-z]+", item)
    return f"Write '*/{match[1] or match[2] or match[3]}'." if match else ""


def _question_mark(item: str, field: str) -> str:
    return "Use '?' only in day-of-month and day-of-week; here, write '*'." if "?" in item else ""


def _two_dots(item: str, field: str) -> str:
    match = re.fullmatch(r"(\w+)\.\.+(\w+)", item)
    return f"Write '{match[1]}-{match[2]}'." if match else ""


def _time_of_day(item: str, field: str) -> str:
    match = TIME.fullmatch(item)
    if match is None or not (match[2] or match[3]):
        return ""
    plain = _daily(match)
    return f"The minute is the first field, the hour the second, as in {plain!r}." if plain else ""


def _hashed(item: str, field: str) -> str:
    if item != "h" and not item.startswith(("h(", "h/")):
        return ""
    return "Use 'h', 'h/15' or 'h(0-5)' as the only value of its field, with an ascending range."


def _name(item: str, field: str) -> str:
    """Correct ``monday-fri`` by the first three letters.

    A name of another language is not guessed: lun is Monday, and looks like sun.
    """
    known = NUMBERS.get(field, {})
    value, slash, step = item.partition("/")
    short = "-".join(_short(end, field) for end in value.split("-"))
    if short != value and all(number_of(field, end) is not None for end in short.split("-")):
        return f"Write '{short}{slash}{step}'."
    for other, names in (("month", MONTHS), ("day-of-week", WEEKDAYS)):
        if other != field and not known.keys() & {item} and _short(item, other) in names:
            where = {"month": "fourth", "day-of-week": "fifth"}[other]
            return f"Use {EXPECTED[field]}. The {where} field is the {other}."
    return ""


def _short(text: str, field: str) -> str:
    names = {"month": MONTHS, "day-of-week": WEEKDAYS}.get(field, ())
    return text[:3] if text.isalpha() and text[:3] in names else text


Correct = Callable[[str, str], str]

OF_A_FIELD: dict[str, tuple[Correct, ...]] = {
    "day-of-month": (_day_from_the_end, _nearest_weekday),
    "day-of-week": (_last_weekday, _which_weekday),
}
OF_ANY_FIELD: tuple[Correct, ...] = (
    _nothing,
    _step_alone,
    _question_mark,
    _two_dots,
    _time_of_day,
    _hashed,
    _name,
)
