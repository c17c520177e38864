"""Hides what is secret in the data that people see."""

from typing import Any

from sisy import conf, nested

HIDDEN = "•••"


def masked(value: Any) -> Any:
    """Return a copy of a JSON value without its secrets.

    A secret is what stands under a name that holds one of ``SISY_MASKED``, in whatever case.
    """
    parts = [part.lower() for part in conf.get_settings().masked]

    def instead(name: object) -> str | None:
        lowered = str(name).lower()
        return HIDDEN if any(part in lowered for part in parts) else None

    return nested.copied(value, instead)


def as_json(value: Any, *, on_lines: bool = True) -> str:
    """Return a JSON value as people see it: without its secrets, of whatever depth."""
    return nested.written(masked(value), on_lines=on_lines)
