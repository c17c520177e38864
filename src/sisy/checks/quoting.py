"""Check messages that quote foreign text, such as a label or an error."""

from typing import Any

from django.core.checks import Error, Warning  # noqa: A004

from sisy.runtime.escaping import escaped


def warning(words: str, *, hint: str = "", **named: Any) -> Warning:
    """Return a warning whose text is escaped for a terminal."""
    return Warning(escaped(words), hint=escaped(hint) or None, **named)


def error(words: str, *, hint: str = "", **named: Any) -> Error:
    """Return an error whose text is escaped for a terminal."""
    return Error(escaped(words), hint=escaped(hint) or None, **named)
