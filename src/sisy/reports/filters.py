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
    """The valid values of fields that accept only certain ones."""

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> Self:
        """Return the filters in a query.

        An unknown value is kept, so that it matches nothing. A text is cut to one character more
        than any column can contain, for the same reason.
        """
        given = {}
        for field in fields(cls):
            if text := asked.get(field.name, "").replace("\0", "")[: MAX_LENGTH + 1]:
                given[field.name] = text
        return cls(**given)

    def query(self, **more: str) -> str:
        """Return the query string with the same filters and with ``more``."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return urlencode({name: text for name, text in {**given, **more}.items() if text})
