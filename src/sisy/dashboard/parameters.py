"""The URL parameters of a page, and the errors about invalid ones."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from django.utils.translation import gettext

from sisy.exceptions import did_you_mean
from sisy.reports.filters import MAX_LENGTH, Filter
from sisy.reports.ledger import key_of

MAX_CHARACTERS_SHOWN = 60
"""The maximum length of a quoted name or value."""

Check = Callable[[str, Mapping[str, str]], str]
"""A function that returns what is expected instead of a value; empty if the value is valid.

Its second argument contains all parameters, because one may decide how another is read.
"""


def one_of(values: Collection[str]) -> Check:
    """Return the check of a parameter with a fixed list of values."""

    def check(text: str, asked: Mapping[str, str]) -> str:
        if text in values:
            return ""
        known = gettext("Valid values: %s.") % ", ".join(values)
        return f"{known}{did_you_mean(text[:MAX_LENGTH], values)}"

    return check


def any_text(text: str, asked: Mapping[str, str]) -> str:
    """Check the length of a search text."""
    if len(text) <= MAX_LENGTH:
        return ""
    return gettext("Use at most %d characters.") % MAX_LENGTH


def a_key(text: str, asked: Mapping[str, str]) -> str:
    """Check the key of a row, after which the next page begins."""
    return gettext("Use a whole number.") if key_of(text) is None else ""


def moment_within(read: Callable[[str], datetime | None]) -> Check:
    """Return the check of a moment; ``read`` returns None for an invalid one."""

    def check(text: str, asked: Mapping[str, str]) -> str:
        if read(text) is not None:
            return ""
        return gettext(
            "Use a date and time with its UTC offset, such as 2030-12-31T23:59:59+00:00."
        )

    return check


def of_filter(filters: type[Filter]) -> dict[str, Check]:
    """Return the checks of a list's filters."""
    few = filters.choices
    return {
        field.name: one_of(few[field.name]) if field.name in few else any_text
        for field in fields(filters)
    }


def elsewhere(text: str, asked: Mapping[str, str]) -> str:
    """Accept any value, because the page itself shows the error."""
    return ""


def refusals(asked: Mapping[str, str], checks: Mapping[str, Check]) -> list[str]:
    """Return an error for each unknown parameter and each invalid value.

    Empty values are valid: a form sends them for empty fields.
    """
    found = []
    for name, text in asked.items():
        if name not in checks:
            found.append(_unknown_name(name, checks))
        elif text and (expected := checks[name](text, asked)):
            given: dict[str, Any] = {"name": name, "text": text[:MAX_CHARACTERS_SHOWN]}
            refusal = (
                gettext("%(text)r is not a valid value for the URL parameter %(name)r.") % given
            )
            found.append(f"{refusal} {expected}")
    return found


def _unknown_name(name: str, checks: Mapping[str, Check]) -> str:
    refusal = gettext("Unknown URL parameter %r.") % name[:MAX_CHARACTERS_SHOWN]
    if not checks:
        return refusal
    known = gettext("Valid parameters: %s.") % ", ".join(checks)
    return f"{refusal} {known}{did_you_mean(name[:MAX_LENGTH], checks)}"
