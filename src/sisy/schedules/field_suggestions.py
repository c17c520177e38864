"""Error messages for invalid fields of a schedule, with the nearest valid text."""

import re
from collections.abc import Callable

from sisy.schedules.names import MONTHS, NUMBERS, WEEKDAYS, number_of
from sisy.schedules.suggestions import TIME, daily

EXPECTED = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, 'l', 'lw' or '15w'",
    "month": f"1 to 12, or {', '.join(MONTHS)}",
    "day-of-week": f"0 to 7, or {', '.join(WEEKDAYS)}, 'mon#2' or 'l5'",
    "second": "0 to 59",
}
Correct = Callable[[str, str], str]

DAY_NAMES = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


def correct_field(field: str, typed: str) -> str:
    """Return the message for an invalid field."""
    if field == "day-of-week" and (message := _mixed_weekdays(typed)):
        return f"{field}: {message}"
    for item in typed.split(","):
        for correct in (*OF_A_FIELD.get(field, ()), *OF_ANY_FIELD):
            if fix := correct(item.lower(), field):
                return f"{field}: {item!r} is not a valid value. {fix}"
    return f"{field}: {typed!r} is not a valid value. Use {EXPECTED[field]}."


def _mixed_weekdays(typed: str) -> str:
    """Return the message for a mix of plain and numbered weekdays, such as ``mon#1,3``."""
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
            f"{typed!r} is not a valid value: it combines {plain[0]!r}, which is every week, with "
            "a weekday in a certain week of the month. Use two tasks."
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
        f"A weekday occurs at most five times in a month. Use '{name}#1' to '{name}#5', "
        f"or 'l{number}' for the last {DAY_NAMES[number]}."
    )


def _nearest_weekday(item: str, field: str) -> str:
    if "w" not in item or _short(item, "day-of-week") in WEEKDAYS:
        return ""
    return (
        "Use '15w' for the weekday nearest to the 15th, or 'lw' for the last weekday of the month."
    )


def _time_of_day(item: str, field: str) -> str:
    match = TIME.fullmatch(item)
    if match is None or not (match[2] or match[3]):
        return ""
    plain = daily(match)
    return f"The minute is the first field, the hour the second, as in {plain!r}." if plain else ""


def _name(item: str, field: str) -> str:
    """Correct long names such as ``monday-fri``, by their first three letters."""
    # Names in other languages are not guessed: lun is Monday, but looks like sun.
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


def _like(pattern: str, text: str) -> Correct:
    """Return a function that corrects items of a pattern; its groups fill the gaps in ``text``."""

    def correct(item: str, field: str) -> str:
        match = re.fullmatch(pattern, item)
        return text.format(*filter(None, match.groups())) if match else ""

    return correct


OF_A_FIELD: dict[str, tuple[Correct, ...]] = {
    "day-of-month": (
        _like(
            r"l-\w+|-\d+",
            "Use 'l' for the last day, 'lw' for the last weekday of the month, or 1 to 31.",
        ),
        _nearest_weekday,
    ),
    "day-of-week": (_last_weekday, _which_weekday),
}
OF_ANY_FIELD: tuple[Correct, ...] = (
    _like(r"", "Remove the extra comma; a list has no spaces, as in '1,15'."),
    _like(r"/(\d+)|\*(\d+)|\*/(\d+)[a-z]+", "Write '*/{}'."),
    _like(r".*\?.*", "Use '?' only in day-of-month and day-of-week; here, write '*'."),
    _like(r"(\w+)\.\.+(\w+)", "Write '{}-{}'."),
    _time_of_day,
    _like(
        r"h|h[(/].*",
        "Use 'h', 'h/15' or 'h(0-5)' as the only value of its field, with an ascending range.",
    ),
    _name,
)
