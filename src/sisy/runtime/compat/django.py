"""The private APIs of Django that Sisy uses."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet
from django.db.transaction import Atomic
from django.dispatch import Signal
from django.http import QueryDict

Receiver = Callable[..., Any]
M = TypeVar("M", bound=Model)
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


@dataclass(frozen=True, slots=True)
class Selection(Generic[M]):
    """The columns of a model as Django selects them, and the records that it makes of their rows.

    Attributes:
        columns: the list of columns, as SQL.
    """

    columns: str
    _using: str
    _names: list[str]
    _compiler: Any
    _converters: dict[int, Any]
    _from_db: Callable[..., M]

    @staticmethod
    def of(model: type[M], using: str, defer: frozenset[str]) -> "Selection[M]":
        """Return the selection of a model's columns, without the deferred ones."""
        return _selection(model, using, defer, connections[using].vendor, settings.USE_TZ)

    def records(self, rows: list[tuple[Any, ...]]) -> list[M]:
        """Return the records whose columns these rows contain."""
        converted: Iterable[Any] = rows
        if rows and self._converters:
            converted = self._compiler.apply_converters(rows, self._converters)
        from_db = self._from_db
        return [from_db(self._using, self._names, row) for row in converted]


# Django would need ten times as long to select the columns anew as the database to return rows.
@lru_cache(maxsize=64)
def _selection(
    model: type[M], using: str, defer: frozenset[str], vendor: str, use_tz: bool
) -> Selection[M]:
    compiler = model._default_manager.using(using).defer(*defer).query.get_compiler(using)
    compiler.pre_sql_setup()
    selected = [(column, sql) for column, (sql, _), _ in compiler.select]
    return Selection(
        columns=", ".join(sql for _, sql in selected),
        _using=using,
        _names=[column.target.attname for column, _ in selected],
        _compiler=compiler,
        _converters=compiler.get_converters([column for column, _ in selected]),
        _from_db=model.from_db,
    )
