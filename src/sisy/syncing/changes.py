"""The change of a task that code declares, or no longer declares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sisy.models.declared import Override


class Kind(StrEnum):
    """The kind of a change to a task by a sync."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    UNDECLARED = "no longer declared"
    OVER = "over"
    """Its window lies in the past, and no task was made of it."""
    REFUSED = "refused"
    """It cannot be a task; one that was made of it before stays as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The change of one task by a sync.

    Attributes:
        name: the name under which it is declared.
        fields: what it had and has, by the name of each field that follows the code.
        kept: what somebody has changed, and what does not follow the code therefore.
        notes: what else happens to it, in sentences.
        problem: why it is refused.
    """

    name: str
    kind: Kind
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    kept: Sequence[Override] = ()
    notes: Sequence[str] = ()
    problem: str = ""
