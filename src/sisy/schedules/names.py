"""The fields of an expression, their values, and the names of values."""

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week", "second")
LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7), (0, 59))
VALUES = {
    name: range(least, 7 if name == "day-of-week" else most + 1)
    for name, (least, most) in zip(FIELDS, LIMITS, strict=True)
}
"""The distinct values of each field, in order; 7 is left out, because it is Sunday like 0."""

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
NUMBERS = {
    "month": {name: number for number, name in enumerate(MONTHS, start=1)},
    "day-of-week": {name: number for number, name in enumerate(WEEKDAYS)},
    "day-of-month": {"l": 31},
}


def number_of(field: str, text: str) -> int | None:
    """Return the value of a number or a name in a field; None if the text is neither."""
    number = int(text) if text.isdigit() else NUMBERS.get(field, {}).get(text)
    return 0 if (field, number) == ("day-of-week", 7) else number
