"""Messages of checks that quote others: a label, a path, the text of an error."""

from typing import Any

from django.core.checks import Error, Warning  # noqa: A004

from sisy.escaping import escaped


def warning(words: str, *, hint: str = "", **named: Any) -> Warning:
    """Return a warning whose words can be written to a terminal."""
    return Warning(escaped(words), hint=escaped(hint) or None, **named)


def error(words: str, *, hint: str = "", **named: Any) -> Error:
    """Return an error whose words can be written to a terminal."""
    return Error(escaped(words), hint=escaped(hint) or None, **named)
