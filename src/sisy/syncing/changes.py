"""The change of a task that code declares, or no longer declares."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from sisy.models.declared import Override


class Kind(StrEnum):
    """What a sync did to a task."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    UNDECLARED = "no longer declared"
    OVER = "over"
    """Its last occurrence is over, so no task was created."""
    REFUSED = "refused"
    """The declaration was rejected; a task that was created from it before stays unchanged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The change of one task by a sync.

    Attributes:
        name: the name of the declaration.
        fields: the values before and after, by the name of each changed field.
        kept: the fields that were changed by hand and so keep their values.
        notes: further sentences.
        problem: the reason of a rejection.
    """

    name: str
    kind: Kind
    fields: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)
    kept: Sequence[Override] = ()
    notes: Sequence[str] = ()
    problem: str = ""
