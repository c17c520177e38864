"""Reads a cron expression into the values that each field allows.

croniter is the reference of the format. What it lets pass though nobody can mean it is refused.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from croniter import croniter
from croniter.croniter import CroniterError

from sisy.exceptions import ScheduleError

LONGEST = 255

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
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


@dataclass(frozen=True, slots=True)
class DayRule:
    """Which days match.

    Attributes:
        days: of the month; None for any.
        has_last_day: whether the last day of the month matches, too.
        weekdays: 0 is Sunday; None for any.
        nth: pairs of a weekday and which one of the month, 1 to 5, or 0 for the last.
    """

    months: frozenset[int]
    days: frozenset[int] | None
    has_last_day: bool
    weekdays: frozenset[int] | None
    nth: frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Fields:
    """A parsed expression; the values of each field in ascending order.

    Attributes:
        is_starred: the minute or the hour field begins with ``*``. Such schedules follow elapsed
            time over changes of the clock; all others name fixed times (cron(8) of Debian).
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    day_rule: DayRule
    is_starred: bool


def parse(expression: object, key: str = "") -> Fields:
    """Return what the fields of ``expression`` allow.

    Args:
        expression: five fields, or six with seconds last, or an alias such as ``@daily``.
        key: what ``H`` is hashed by.

    Raises:
        ScheduleError: names the field and the reason.
    """
    if not isinstance(expression, str):
        raise ScheduleError(
            f"A schedule must be a text such as '*/5 * * * *', not {type(expression).__name__}."
        )
    if len(expression) > LONGEST:
        raise ScheduleError(f"A schedule has up to {LONGEST} characters, not {len(expression)}.")
    return _parse(expression, key if "h" in expression.lower() else "")


@lru_cache(maxsize=4096)
def _parse(expression: str, key: str) -> Fields:
    texts = _split(expression)
    for name, text, limits in zip(FIELDS, texts, LIMITS, strict=False):
        _check_field(name, text, limits)
    values, nth = _expand(expression, texts, key)
    seconds = values[5] if len(values) == 6 else [0]
    day_rule = DayRule(
        months=frozenset(_all(values[3], LIMITS[3])),
        days=None if values[2] == ["*"] else frozenset(v for v in values[2] if v != "l"),
        has_last_day="l" in values[2],
        weekdays=None
        if values[4] == ["*"]
        else frozenset(values[4]) - frozenset(nth if nth else ()),
        nth=frozenset((day, 0 if n == "l" else n) for day, ns in nth.items() for n in ns),
    )
    return Fields(
        seconds=tuple(_all(seconds, LIMITS[5])),
        minutes=tuple(_all(values[0], LIMITS[0])),
        hours=tuple(_all(values[1], LIMITS[1])),
        day_rule=day_rule,
        is_starred=texts[0].startswith("*") or texts[1].startswith("*"),
    )


def fields_of(expression: str) -> list[tuple[str, str]]:
    """Return the name and the text of each field, of an alias those for which it stands.

    Raises:
        ScheduleError: it has neither five nor six fields.
    """
    return list(zip(FIELDS, _split(expression[: LONGEST + 1]), strict=False))


def field_of(error: ScheduleError) -> str:
    """Return the name of the field that an error of `parse` speaks of; empty if of none."""
    name = str(error).partition(":")[0]
    return name if name in FIELDS else ""


def _split(expression: str) -> list[str]:
    if not expression.isascii() or not re.fullmatch(r"[ -~\t]*", expression):
        raise ScheduleError(
            f"The schedule {expression!r} has characters that are not printable ASCII. "
            "Type digits, letters and single spaces."
        )
    text = expression.strip().lower()
    if text.startswith("@"):
        if text not in ALIASES:
            known = ", ".join(ALIASES)
            raise ScheduleError(f"There is no {expression!r}. There are: {known}.")
        text = ALIASES[text]
    texts = text.split()
    if len(texts) not in (5, 6):
        hint = " There is no field for the year." if len(texts) == 7 else ""
        raise ScheduleError(
            f"The schedule {expression!r} has {len(texts)} fields, not five (minute hour "
            f"day-of-month month day-of-week) or six (seconds last).{hint}"
        )
    return texts


def _check_field(name: str, text: str, limits: tuple[int, int]) -> None:
    for item in text.split(","):
        value, _, step = item.partition("/")
        if re.match(r"r(\(|$)", value):
            raise ScheduleError(f"{name}: {item!r} is random. Write h, which stays the same.")
        if name == "day-of-month" and "w" in value:
            raise ScheduleError(
                f"{name}: {item!r} asks for the nearest weekday, which Sisy does not know. "
                "Name the day, or the weekdays in the fifth field."
            )
        if step:
            _check_step(name, item, step, limits[1])
        plain = re.split(r"[#(]", value)[0]
        ends = plain.split("-")
        if len(ends) == 2 and _are_equal(name, *ends):
            raise ScheduleError(f"{name}: the ends of {plain!r} are equal. Write {ends[0]!r}.")
        for end in ends:
            if end.isdigit() and not limits[0] <= int(end) <= limits[1]:
                raise ScheduleError(
                    f"{name}: {end} in {text!r} is not within {limits[0]} to {limits[1]}."
                )


def _check_step(name: str, item: str, step: str, most: int) -> None:
    if not step.isdigit() or not 1 <= int(step) <= most:
        raise ScheduleError(f"{name}: the step of {item!r} must be a number from 1 to {most}.")


def _are_equal(name: str, first: str, last: str) -> bool:
    """Whether a range begins where it ends; 0-7 is the whole week, although both are Sunday."""
    if first.isdigit() and last.isdigit():
        return int(first) == int(last)
    return _number(name, first) == _number(name, last)


def _number(name: str, text: str) -> object:
    names = {"month": ["", *MONTHS], "day-of-week": WEEKDAYS}.get(name, [])
    number = names.index(text) if text in names else int(text) if text.isdigit() else text
    return 0 if (name, number) == ("day-of-week", 7) else number


def _expand(
    expression: str, texts: list[str], key: str
) -> tuple[list[list[Any]], dict[int, set[Any]]]:
    try:
        return _croniter(texts, key)
    except (CroniterError, ValueError, KeyError, IndexError) as error:
        for position, name in enumerate(FIELDS[: len(texts)]):
            alone = ["*"] * len(texts)
            alone[position] = texts[position]
            try:
                _croniter(alone, key)
            except (CroniterError, ValueError, KeyError, IndexError):
                raise ScheduleError(f"{name}: {texts[position]!r} cannot be read.") from error
        raise ScheduleError(f"The schedule {expression!r} cannot be read: {error}.") from error


def _croniter(texts: list[str], key: str) -> tuple[list[list[Any]], dict[int, set[Any]]]:
    values, nth = croniter.expand(" ".join(texts), hash_id=key.encode())
    every = [["*"] if "*" in field else field for field in values]  # in a list, too: 1,*
    return every, nth  # type: ignore[return-value]


def _all(values: list[Any], limits: tuple[int, int]) -> list[int]:
    return list(range(limits[0], limits[1] + 1)) if values == ["*"] else values
