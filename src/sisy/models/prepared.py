"""Parts of statements."""

from collections.abc import Sequence, Sized
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper


def places(values: Sized) -> str:
    """Return a place for each of ``values``, as a statement takes them between brackets."""
    return ", ".join(["%s"] * len(values))


def among(keys: Sequence[int], connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    """Return what a condition says to hold one of ``keys``, and what it takes at its places."""
    if connection.vendor == "postgresql":
        return "= ANY(%s)", [list(keys)]
    return f"IN ({places(keys)})", list(keys)
