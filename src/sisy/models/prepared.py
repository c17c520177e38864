"""Queries that are put into SQL once and asked again and again."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import connections, models
from django.db.models import QuerySet

from sisy.models.fields import MomentField

Value = int | str | datetime
M = TypeVar("M", bound=models.Model)


class Limit(int):
    """How many rows are asked for; Django writes that into the statement."""


STAND_INS: dict[type[Value], tuple[Value, Value]] = {
    int: (1_000_000_007, 1_000_000_009),
    str: ("stand-in for a text", "stand-in for another one"),
    datetime: (datetime(1999, 1, 1, tzinfo=UTC), datetime(1999, 1, 2, tzinfo=UTC)),
    Limit: (1_000_000_021, 1_000_000_021),
}
"""Two values of each kind, by which their places in the statement are found."""


def prepared(
    build: Callable[..., QuerySet[M, Any]], using: str, **kinds: type[Value]
) -> "Prepared[M]":
    """Return a query as it is put to this database; see `Prepared`."""
    vendor, use_tz = connections[using].vendor, settings.USE_TZ
    return _prepared(build, using, vendor, use_tz, tuple(kinds.items()))


@lru_cache(maxsize=64)
def _prepared(
    build: Callable[..., QuerySet[M, Any]],
    using: str,
    vendor: str,
    use_tz: bool,
    kinds: tuple[tuple[str, type[Value]], ...],
) -> "Prepared[M]":
    return Prepared(build, using, **dict(kinds))


class Prepared(Generic[M]):
    """A query of which only some values differ from one time to the next.

    Django needs ten times as long to put a query of many parts into SQL as the database needs to
    answer it.

    Args:
        build: returns the query for values that are given by name.
        using: the alias of the database.
        kinds: by name, what kind of value it is.

    Raises:
        ValueError: the query takes something that is made of a value.
    """

    def __init__(
        self, build: Callable[..., QuerySet[M, Any]], using: str, **kinds: type[Value]
    ) -> None:
        self._using = using
        first = {name: STAND_INS[kind][0] for name, kind in kinds.items()}
        self._compiler = build(**first).using(using).query.get_compiler(using)
        self._sql, self._params = self._compiler.as_sql()
        self._places: dict[int, str] = {}
        for name, kind in kinds.items():
            other = build(**{**first, name: STAND_INS[kind][1]}).using(using)
            others = other.query.get_compiler(using).as_sql()[1]
            pairs = enumerate(zip(self._params, others, strict=True))
            places = {place: name for place, (one, other) in pairs if one != other}
            if any(self._params[place] != self._adapted(first[name]) for place in places):
                raise ValueError(f"{name} is not taken as it is: give what is made of it instead.")
            self._places |= places
        self._let_limits_differ(name for name, kind in kinds.items() if kind is Limit)

    def _let_limits_differ(self, names: Iterable[str]) -> None:
        """Make a parameter of the limit, which comes after all others, if there is one."""
        for name in names:
            before, after = self._sql.split(f"LIMIT {STAND_INS[Limit][0]}")
            assert "%s" not in after, "a limit is expected to be the last parameter"
            self._sql = f"{before}LIMIT %s{after}"
            self._places[len(self._params)] = name
            self._params = (*self._params, None)

    def rows(self, **values: Value) -> list[tuple[Any, ...]]:
        """Return what the query returns for these values."""
        params = list(self._params)
        for place, name in self._places.items():
            params[place] = self._adapted(values[name])
        with connections[self._using].cursor() as cursor:
            cursor.execute(self._sql, params)
            found = cursor.fetchall()
        return [tuple(row) for row in self._compiler.results_iter([found])]

    def _adapted(self, value: Value) -> Any:
        if not isinstance(value, datetime):
            return value
        return MomentField().get_db_prep_value(value, connections[self._using])

    def records(self, **values: Value) -> list[M]:
        """Return the records that a query returns for these values."""
        model = self._compiler.query.model
        names = [column.target.attname for column, _, _ in self._compiler.select]
        return [model.from_db(self._using, names, row) for row in self.rows(**values)]
