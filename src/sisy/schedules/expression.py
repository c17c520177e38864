"""Parse a cron expression into the values that each field allows.

croniter defines the format. Sisy itself expands what croniter 7 expands incorrectly or not at all
(stepped ranges that wrap around, nearest weekdays), and rejects input that croniter accepts but
that makes no sense. `suggestions` and `field_suggestions` contain the error messages.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from croniter import croniter
from croniter.croniter import CroniterError

from sisy.exceptions import ScheduleError
from sisy.schedules.field_suggestions import correct_field
from sisy.schedules.names import ALIASES, FIELDS, LIMITS, VALUES, number_of
from sisy.schedules.suggestions import correct_expression

LONGEST = 255

NEAREST_WEEKDAY = re.compile(r"(\d+|l)w|w(\d+)")
STEPPED_RANGE = re.compile(r"([^-/]+)-([^-/]+)/(\d+)")


@dataclass(frozen=True, slots=True)
class DayRule:
    """The rule for matching days.

    Attributes:
        days: the days of the month; None for any.
        has_last_day: whether the last day of the month also matches.
        nearest: days of the month; the nearest day from Monday to Friday also matches.
        weekdays: the days of the week, 0 is Sunday; None for any.
        nth: pairs of a weekday and its position in the month, 1 to 5, or 0 for the last.
    """

    months: frozenset[int]
    days: frozenset[int] | None
    has_last_day: bool
    nearest: frozenset[int]
    weekdays: frozenset[int] | None
    nth: frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Fields:
    """A parsed expression, with the values of each field in ascending order.

    Attributes:
        is_starred: whether the minute or the hour field begins with ``*``. When clocks change,
            such schedules follow elapsed time; all others have fixed times (Debian's cron(8)).
    """

    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    day_rule: DayRule
    is_starred: bool


def parse(expression: object, key: str = "") -> Fields:
    """Parse ``expression``.

    Args:
        expression: five fields, or six with seconds last, or an alias such as ``@daily``.
        key: the text from which ``H`` is computed.

    Raises:
        ScheduleError: the expression is invalid. The message names the field and the reason.
    """
    if not isinstance(expression, str):
        raise ScheduleError(
            f"A schedule must be a string such as '*/5 * * * *', not {type(expression).__name__}."
        )
    if len(expression) > LONGEST:
        raise ScheduleError(
            f"The schedule has {len(expression)} characters. Use at most {LONGEST}."
        )
    return _parse(expression, key if is_hashed(expression) else "")


def is_hashed(expression: str) -> bool:
    """Return whether ``expression`` contains an ``h``, so that its meaning depends on a key."""
    # The h in "thu" does not count, and neither do those in aliases.
    text = expression.strip().lower()
    return "h" in text.replace("thu", "") and not text.startswith("@")


@lru_cache(maxsize=4096)
def _parse(expression: str, key: str) -> Fields:
    typed = _split(expression)
    texts = [text.lower() for text in typed]
    for name, text, limits in zip(FIELDS, typed, LIMITS, strict=False):
        _check_field(name, text, limits)
    nearest, days = _without_nearest_weekdays(texts[2])
    # croniter must see that day-of-month is restricted, even if only nearest weekdays restrict it.
    readable = [*texts[:2], days or "1", *texts[3:]]
    values, nth = _expand(expression, typed, readable, key)
    seconds = values[5] if len(values) == 6 else [0]
    day_values = values[2] if days else []
    day_rule = DayRule(
        months=frozenset(_all(values[3], LIMITS[3])),
        days=None if day_values == ["*"] else frozenset(v for v in day_values if v != "l"),
        has_last_day="l" in day_values,
        nearest=frozenset() if day_values == ["*"] else nearest,
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
    """Return the name and the text of each field. An alias is replaced by its fields.

    Raises:
        ScheduleError: the expression has neither five nor six fields.
    """
    texts = _split(expression[: LONGEST + 1])
    return [(name, text.lower()) for name, text in zip(FIELDS, texts, strict=False)]


def field_of(error: ScheduleError) -> str:
    """Return the name of the field that an error of `parse` is about; empty if there is none."""
    name = str(error).partition(":")[0]
    return name if name in FIELDS else ""


def _split(expression: str) -> list[str]:
    """Return the fields as typed. An alias is replaced by its fields."""
    if not re.fullmatch(r"[ -~\t]*", expression):
        raise ScheduleError(
            f"The schedule {expression!r} contains characters other than printable ASCII. Use "
            "digits, letters and single spaces."
        )
    text = expression.strip()
    texts = ALIASES.get(text.lower(), text).split()
    if correction := correct_expression(expression, texts):
        raise ScheduleError(correction)
    if len(texts) not in (5, 6):
        count = "1 field" if len(texts) == 1 else f"{len(texts)} fields"
        raise ScheduleError(
            f"The schedule {expression!r} has {count}, not five (minute hour day-of-month month "
            "day-of-week) or six (seconds last)."
        )
    return texts


def _check_field(name: str, typed: str, limits: tuple[int, int]) -> None:
    """Reject what croniter accepts by mistake or reports with an unclear message."""
    for item in typed.split(","):
        value, _, step = item.lower().partition("/")
        if re.match(r"r(\(|$)", value):
            raise ScheduleError(
                f"{name}: {item!r} is random. Use 'h', which is fixed for each task."
            )
        if step:
            _check_step(name, item, step)
        plain = re.split(r"[#(]", value)[0]
        ends = plain.split("-")
        if len(ends) == 2 and _are_equal(name, *ends):
            raise ScheduleError(f"{name}: {plain!r} starts where it ends. Write {ends[0]!r}.")
        for end in ends:
            number = end.strip("w") if name == "day-of-month" else end
            if number.isdigit() and not limits[0] <= int(number) <= limits[1]:
                where = "" if number == typed else f" in {typed!r}"
                raise ScheduleError(
                    f"{name}: {number}{where} is out of range. Use {limits[0]} to {limits[1]}."
                )


def _check_step(name: str, item: str, step: str) -> None:
    most = len(VALUES[name])
    if step.isdigit() and not 1 <= int(step) <= most:
        raise ScheduleError(f"{name}: the step of {item!r} must be a number from 1 to {most}.")


def _are_equal(name: str, first: str, last: str) -> bool:
    """Return whether a range ends where it begins."""
    # Compare numbers as typed: 0-7 is the whole week, although both are Sunday.
    if first.isdigit() and last.isdigit():
        return int(first) == int(last)
    numbers = number_of(name, first), number_of(name, last)
    return None not in numbers and numbers[0] == numbers[1]


def _without_nearest_weekdays(text: str) -> tuple[frozenset[int], str]:
    """Return the days of items such as ``15w`` or ``lw``, and the text without these items."""
    # croniter reads one such item but no list of them, and does not return it as a value.
    nearest, others = set(), []
    for item in text.split(","):
        if match := NEAREST_WEEKDAY.fullmatch(item):
            day = match[1] or match[2]
            # For a day that a month lacks, the nearest weekday is that of its last day. So ``lw``
            # is the same as ``31w``.
            nearest.add(LIMITS[2][1] if day == "l" else int(day))
        else:
            others.append(item)
    return frozenset(nearest), ",".join(others)


def unwrapped(name: str, item: str) -> str:
    """Return an item of a field for croniter. A stepped range that wraps around becomes a list."""
    # croniter 7 expands these incorrectly: it reads ``23-3/2`` as 23 and 2.
    match = STEPPED_RANGE.fullmatch(item)
    if match is None:
        return item
    first, last = number_of(name, match[1]), number_of(name, match[2])
    if first is None or last is None or first <= last:
        return item
    values = VALUES[name]
    walk = [*values[values.index(first) :], *values[: values.index(last) + 1]]
    return ",".join(map(str, walk[:: int(match[3])]))


def _expand(
    expression: str, typed: list[str], texts: list[str], key: str
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
                raise ScheduleError(correct_field(name, typed[position])) from error
        raise ScheduleError(f"The schedule {expression!r} is not valid: {error}.") from error


def _croniter(texts: list[str], key: str) -> tuple[list[list[Any]], dict[int, set[Any]]]:
    readable = [
        ",".join(unwrapped(name, item) for item in text.split(","))
        for name, text in zip(FIELDS, texts, strict=False)
    ]
    values, nth = croniter.expand(" ".join(readable), hash_id=key.encode())
    # A star in a list allows every value, too: ``1,*``.
    every = [["*"] if "*" in field else field for field in values]
    return every, nth  # type: ignore[return-value]


def _all(values: list[Any], limits: tuple[int, int]) -> list[int]:
    return list(range(limits[0], limits[1] + 1)) if values == ["*"] else values
