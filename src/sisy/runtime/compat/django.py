"""The private APIs of Django that Sisy uses."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet
from django.db.transaction import Atomic
from django.dispatch import Signal
from django.http import QueryDict

Receiver = Callable[..., Any]
Q = TypeVar("Q", bound=QuerySet[Any])


class InterceptingSignal(Signal):
    """A signal that can replace what is called for its receivers."""

    def to_call(self, receiver: Receiver, *, is_async: bool) -> Receiver:
        """Return what is called instead of ``receiver``."""
        return receiver

    def _live_receivers(self, sender: object) -> tuple[list[Receiver], list[Receiver]]:
        plain, asynchronous = super()._live_receivers(sender)
        return (
            [self.to_call(one, is_async=False) for one in plain],
            [self.to_call(one, is_async=True) for one in asynchronous],
        )


def thread_of(connection: BaseDatabaseWrapper) -> int:
    """Return the identifier of the thread that made a connection."""
    ident: int = connection._thread_ident  # type: ignore[attr-defined]
    return ident


def is_of_a_test_case(block: Atomic) -> bool:
    """Return whether Django's test case has opened this block around a test."""
    return bool(block._from_testcase)  # type: ignore[attr-defined]


def for_write(rows: Q) -> Q:
    """Return a query that reads from the database to which its rows are written."""
    rows = rows.all()
    rows._for_write = True  # type: ignore[attr-defined]
    return rows.using(rows.db)


def delete_bare(rows: QuerySet[Any]) -> int:
    """Delete rows by one statement, with neither signals nor what refers to them."""
    count: int = rows._raw_delete(rows.db)
    return count


def property_names(model: type[Model]) -> frozenset[str]:
    """Return the names of a model's properties, which ``Model()`` also accepts."""
    names: frozenset[str] = model._meta._property_names  # type: ignore[attr-defined]
    return names


def sealed(query: QueryDict) -> QueryDict:
    """Return ``query``, which nobody can change any more."""
    query._mutable = False
    return query
