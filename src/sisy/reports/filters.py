"""The filters in the address of a page."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Self
from urllib.parse import urlencode

MAX_LENGTH = 500
"""The length of the longest column that is searched: the path of a target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """The filters of a list, one field each; an empty field accepts anything."""

    choices: ClassVar[Mapping[str, Collection[str]]] = {}
    """The valid values of fields that have few."""

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> Self:
        """Return what a query asks for.

        A value that there is not stays, so that nothing is found by it. So does one character more
        than any column holds.
        """
        given = {}
        for field in fields(cls):
            if text := asked.get(field.name, "").replace("\0", "")[: MAX_LENGTH + 1]:
                given[field.name] = text
        return cls(**given)

    def query(self, **more: str) -> str:
        """Return what an address says to ask for the same, and for ``more``."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return urlencode({name: text for name, text in {**given, **more}.items() if text})
