"""The author of the changes of tasks that a block of code makes: ``with changed_by(…)``.

Views, commands and the sync of declared tasks call the same methods of a task, which do not know
their caller. Those who know it say so here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from sisy.records.choices import ChangedBy


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """The author of a change.

    Attributes:
        name: the name of the person; empty if there is none, or it is unknown.
    """

    kind: ChangedBy
    name: str = ""


CODE = Author(kind=ChangedBy.CODE)

_AUTHOR: ContextVar[Author] = ContextVar("sisy_author", default=CODE)


def author() -> Author:
    """Return the author of the changes that are made here."""
    return _AUTHOR.get()


@contextmanager
def changed_by(kind: ChangedBy, name: object = "") -> Iterator[None]:
    """Name the author of the changes that the block makes.

    Do not yield from a generator within the block: its caller would become the author, too.
    """
    token = _AUTHOR.set(Author(kind=kind, name=str(name)))
    try:
        yield
    finally:
        _AUTHOR.reset(token)
