"""Hide secrets in displayed data."""

from typing import Any

from sisy import conf
from sisy.records import nested

HIDDEN = "•••"


def masked(value: Any) -> Any:
    """Return a copy of a JSON value with its secrets replaced.

    A value is a secret if its key contains one of ``SISY_MASKED``, ignoring case.
    """
    parts = [part.lower() for part in conf.get_settings().masked]

    def instead(name: object) -> str | None:
        lowered = str(name).lower()
        return HIDDEN if any(part in lowered for part in parts) else None

    return nested.copied(value, instead)


def as_json(value: Any, *, on_lines: bool = True) -> str:
    """Return a value of any depth as JSON text, with its secrets replaced."""
    return nested.written(masked(value), on_lines=on_lines)
