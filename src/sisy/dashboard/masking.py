"""Hides what is secret in the data that people see."""

from typing import Any

from sisy import conf

HIDDEN = "•••"


def masked(value: Any) -> Any:
    """Return a copy of a JSON value without its secrets.

    A secret is what stands under a name that holds one of ``SISY_MASKED``, in whatever case.
    """
    if isinstance(value, dict):
        return {key: HIDDEN if _is_secret(key) else masked(each) for key, each in value.items()}
    return [masked(each) for each in value] if isinstance(value, list) else value


def _is_secret(name: object) -> bool:
    lowered = str(name).lower()
    return any(part.lower() in lowered for part in conf.get_settings().masked)
