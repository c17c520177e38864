"""Validators of single values. Each error says what was expected and received."""

import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from sisy import conf
from sisy.addresses import problem_with_address
from sisy.exceptions import did_you_mean
from sisy.records.nested import MAX_DEPTH, containers
from sisy.runtime.durations import duration_text
from sisy.runtime.escaping import first_obeyed
from sisy.schedules import Schedule, calendar

Validator = Callable[[Any, str], object]
"""Takes a value and the name of its field. Raises ValueError for a value that does not fit."""

JSON = json.JSONEncoder(allow_nan=False, ensure_ascii=False)
ZERO = timedelta(0)
LONGEST = timedelta(days=36_500)
MAX_NOTE_LENGTH = 4000  # characters


def moment_in(value: Any, name: str) -> datetime:
    """Return the moment that a user passed as ``name``.

    Raises:
        ValueError: not a datetime, a naive one where the project uses time zones, or one that lies
            outside the years 1000 to 9998.
    """
    if not isinstance(value, datetime):
        raise ValueError(f"{name} must be a datetime, not {value!r}.")
    moment = value if timezone.is_aware(value) else _made_aware(value, name)
    if not calendar.is_within(moment):
        raise ValueError(
            f"{name} must be within the years {calendar.YEARS}, not {moment.isoformat()}."
        )
    return moment


def _made_aware(value: datetime, name: str) -> datetime:
    if settings.USE_TZ:
        raise ValueError(
            f"{name} must be an aware datetime, but {value!r} has no time zone. Use "
            f"django.utils.timezone.make_aware({name}), or pass a tzinfo."
        )
    return timezone.make_aware(value, timezone.get_default_timezone())


def future_moment(
    value: Any, name: str, now: datetime, otherwise: str = "run immediately"
) -> datetime:
    """Return a moment that a user passed as ``name`` and that must not lie in the past.

    Args:
        otherwise: what happens without the moment; the error says so.

    Raises:
        ValueError: as for `moment_in`, and for a moment before ``now``.
    """
    moment = moment_in(value, name)
    if moment < now:
        raise ValueError(
            f"{name} is in the past: {moment.isoformat()} was {duration_text(now - moment)} ago. "
            f"Pass a later time, or leave it out to {otherwise}."
        )
    return moment


def json_dict(value: Any, name: str = "userdata") -> dict[str, Any]:
    """Return ``value`` if it is a dict that JSON can store unchanged.

    Raises:
        ValueError: it is not. The message names the reason.
    """
    json_text(value, name)
    return value  # type: ignore[no-any-return]


def json_text(value: Any, name: str = "userdata") -> str:
    """Return the JSON text of a dict that JSON can store unchanged.

    Raises:
        ValueError: as for `json_dict`.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a dict, not {type(value).__name__}.")
    if not value:
        return "{}"
    strays = []
    for each, depth in containers(value):
        if depth > MAX_DEPTH:
            raise ValueError(
                f"{name} must be nested at most {MAX_DEPTH} levels deep, but it is deeper or "
                "contains itself."
            )
        if isinstance(each, dict):
            strays += [key for key in each if not isinstance(key, str)]
    try:
        text = JSON.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name} must be serializable as JSON: {error}.") from None
    if flaw := unstorable_in(text):
        raise ValueError(f"{name} must not contain {flaw}, which databases reject.")
    if strays:
        raise ValueError(f"{name} must have strings as keys, not {strays[0]!r}.")
    return text


def json_dicts(values: Iterable[Any], name: str = "userdata") -> list[dict[str, Any]]:
    """Return ``values`` as a list if each is a dict that JSON can store unchanged.

    Raises:
        ValueError: one is not. The message names its place and the reason.
    """
    given = list(values)
    if not _are_plainly_valid(given):
        for number, value in enumerate(given):
            json_dict(value, f"{name}[{number}]")
    return given


def _are_plainly_valid(values: list[Any]) -> bool:
    """Return True if all values are flat dicts that pass `json_dict`. False proves nothing."""
    # Encoding many values together takes a quarter of the time of encoding them one by one.
    if not all(type(value) is dict for value in values):
        return False
    try:
        text = JSON.encode(values)
    except (TypeError, ValueError, RecursionError):
        return False
    is_flat = text.count("{") == len(values) and text.count("[") == 1
    return (
        is_flat
        and all(type(key) is str for value in values for key in value)
        and not unstorable_in(text)
    )


def unstorable_in(text: str) -> str:
    """Return what databases reject in a JSON text with unescaped characters; empty if nothing."""
    if "\\u0000" in text.replace("\\\\", ""):
        return "the NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "an unpaired surrogate"
    return ""


def label(value: Any, name: str) -> None:
    """Accept a text of one line without invisible characters."""
    if not isinstance(value, str) or not 0 < len(value) <= 255 or "\0" in value:
        raise ValueError(f"{name} must be a string of 1 to 255 characters, not {value!r:.80}.")
    if found := first_obeyed(value):
        raise ValueError(
            f"{name} must not contain control characters, such as line breaks, or invisible "
            f"characters. Remove {found!r}."
        )


def note(value: Any, name: str) -> None:
    """Accept a text of several lines without characters that control terminals."""
    if not isinstance(value, str) or len(value) > MAX_NOTE_LENGTH:
        length = f", whose length is {len(value)}" if isinstance(value, str) else ""
        raise ValueError(
            f"{name} must be a string of 0 to {MAX_NOTE_LENGTH} characters, not "
            f"{value!r:.80}{length}."
        )
    if found := next((each for each in value if each < " " and each not in "\n\r\t"), ""):
        raise ValueError(
            f"{name} must not contain control characters, except for line breaks and tabs. Remove "
            f"{found!r}."
        )


def time_zone(value: Any, name: str) -> None:
    """Accept the name of a time zone. Raises ScheduleError, which is a ValueError."""
    Schedule("* * * * *", value)


def address(value: Any, name: str) -> None:
    """Accept the address of a page, or an empty text. The error does not contain the address."""
    if value != "" and (wrong := problem_with_address(name, value)):
        raise ValueError(wrong)


def engine(value: Any, name: str) -> None:
    """Accept the name of an engine in ``SISY_ENGINES``."""
    known = [conf.DEFAULT_ENGINE, *conf.get_settings().engines]
    if value not in known:
        hint = did_you_mean(str(value), known)
        names = ", ".join(map(repr, sorted({*known})))
        raise ValueError(
            f"{value!r:.80} is not an engine in SISY_ENGINES.{hint} Valid engines: {names}."
        )


def truth(value: Any, name: str) -> None:
    """Accept True and False, also as 1 and 0."""
    if value not in (True, False):
        raise ValueError(f"{name} must be True or False, not {value!r:.80}.")


def number(least: int, most: int, *, is_whole: bool = False) -> Validator:
    """Return a validator that accepts numbers in this range, perhaps only whole ones."""

    def validate(value: Any, name: str) -> None:
        if wrong := conf.problem_with_number(name, value, least, most, is_whole=is_whole):
            raise ValueError(wrong)

    return validate


def whole(least: int, most: int) -> Validator:
    """Return a validator that accepts whole numbers in this range."""
    return number(least, most, is_whole=True)


def span(least: timedelta = ZERO) -> Validator:
    """Return a validator that accepts durations from ``least`` to a hundred years."""

    def validate(value: Any, name: str) -> None:
        if not isinstance(value, timedelta) or not least <= value <= LONGEST:
            raise ValueError(
                f"{name} must be a timedelta from {duration_text(least)} to "
                f"{duration_text(LONGEST)}, not {value!r}."
            )

    return validate


def choice(words: type[models.TextChoices]) -> Validator:
    """Return a validator that accepts the values of an enumeration."""
    values = words.values

    def validate(value: Any, name: str) -> None:
        if value not in values:
            hint = did_you_mean(str(value), values)
            known = ", ".join(map(repr, values))
            raise ValueError(f"{name} must be one of {known}, not {value!r}.{hint}")

    return validate


def optional(validator: Validator) -> Validator:
    """Return a validator that also accepts None."""

    def validate(value: Any, name: str) -> None:
        if value is not None:
            validator(value, name)

    return validate
