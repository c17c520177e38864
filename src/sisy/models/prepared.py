"""Queries that are put into SQL once and asked again and again."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import connections, models
from django.db.models import QuerySet

from sisy.models.fields import MomentField

M = TypeVar("M", bound=models.Model)


class Limit(int):
    """How many rows are asked for; Django writes that into the statement."""


class Keys(list[int]):
    """Any number of keys, for ``pk__in``; Django writes a place for each into the statement."""


class Names(list[str]):
    """Any number of texts, for ``name__in``; as `Keys`."""


Value = int | str | datetime | list[int] | list[str]

STAND_INS: dict[type[Value], tuple[Value, Value]] = {
    int: (1_000_000_007, 1_000_000_009),
    str: ("stand-in for a text", "stand-in for another one"),
    datetime: (datetime(1999, 1, 1, tzinfo=UTC), datetime(1999, 1, 2, tzinfo=UTC)),
    Limit: (1_000_000_021, 1_000_000_021),
    Keys: ([1_000_000_033], [1_000_000_087]),
    Names: (["stand-in for texts"], ["stand-in for other ones"]),
}
"""Two values of each kind, by which their places in the statement are found."""


def prepared(
    build: Callable[..., QuerySet[M, Any]], using: str, **kinds: type[Value]
) -> "Query[M]":
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
) -> "Query[M]":
    if vendor == "mysql" and any(issubclass(kind, list) for _, kind in kinds):
        return Query(build, using)
    return Prepared(build, using, **dict(kinds))


class Query(Generic[M]):
    """A query that is put into SQL each time.

    Args:
        build: returns the query for values that are given by name.
        using: the alias of the database.
    """

    def __init__(self, build: Callable[..., QuerySet[M, Any]], using: str) -> None:
        self._build = build
        self._using = using

    def rows(self, **values: Value) -> list[tuple[Any, ...]]:
        """Return what a query of tuples returns for these values."""
        return list(self._build(**values).using(self._using))

    def records(self, **values: Value) -> list[M]:
        """Return the records that a query returns for these values."""
        return list(self._build(**values).using(self._using))


class Prepared(Query[M]):
    """A query of which only some values differ from one time to the next.

    Django needs ten times as long to put a query of many parts into SQL as the database needs to
    answer it.

    Args:
        kinds: by name, what kind of value it is; `Keys` and `Names` not on MySQL.

    Raises:
        ValueError: the query takes something that is made of a value.
    """

    def __init__(
        self, build: Callable[..., QuerySet[M, Any]], using: str, **kinds: type[Value]
    ) -> None:
        super().__init__(build, using)
        first = {name: STAND_INS[kind][0] for name, kind in kinds.items()}
        self._compiler = build(**first).using(using).query.get_compiler(using)
        sql, params = self._compiler.as_sql()
        self._params = list(params)
        self._between = sql.split("%s")  # the parts of the statement around its parameters
        self._places: dict[int, str] = {}
        for name, kind in kinds.items():
            if kind is Limit:
                self._give_place_to_limit(name)
                continue
            other = build(**{**first, name: STAND_INS[kind][1]}).using(using)
            others = other.query.get_compiler(using).as_sql()[1]
            for place in self._places_of(name, first[name], others):
                self._places[place] = name
                if issubclass(kind, list):
                    self._take_an_array_at(place, "bigint" if kind is Keys else "text")
        self._sql = "%s".join(self._between)

    def _places_of(self, name: str, value: Value, others: Any) -> list[int]:
        """Return at which places a value stands, by what stands there for another value."""
        plain = value[0] if isinstance(value, list) else self._adapted(value)
        places = [n for n, other in enumerate(others) if self._params[n] != other]
        if any(self._params[place] != plain for place in places):
            raise ValueError(f"{name} is not taken as it is: give what is made of it instead.")
        return places

    def _give_place_to_limit(self, name: str) -> None:
        """It comes after all other parameters."""
        before, after = self._between.pop().split(f"LIMIT {STAND_INS[Limit][0]}")
        self._between += [f"{before}LIMIT ", after]
        self._places[len(self._params)] = name
        self._params.append(None)

    def _take_an_array_at(self, place: int, kind: str) -> None:
        before, after = self._between[place : place + 2]
        assert before.endswith("IN ("), "many values are expected to be asked for by __in"
        assert after.startswith(")")
        if connections[self._using].vendor == "sqlite":
            self._between[place] = before + "SELECT value FROM json_each("
            self._between[place + 1] = ")" + after
        else:
            self._between[place] = before.removesuffix("IN (") + "= ANY("
            self._between[place + 1] = f"::{kind}[]" + after

    def rows(self, **values: Value) -> list[tuple[Any, ...]]:
        params = list(self._params)
        for place, name in self._places.items():
            params[place] = self._adapted(values[name])
        with connections[self._using].cursor() as cursor:
            cursor.execute(self._sql, params)
            found = cursor.fetchall()
        return [tuple(row) for row in self._compiler.results_iter([found])]

    def _adapted(self, value: Value) -> Any:
        if isinstance(value, list) and connections[self._using].vendor == "sqlite":
            return json.dumps(value)
        if not isinstance(value, datetime):
            return value
        return MomentField().get_db_prep_value(value, connections[self._using])

    def records(self, **values: Value) -> list[M]:
        model = self._compiler.query.model
        names = [column.target.attname for column, _, _ in self._compiler.select]
        return [model.from_db(self._using, names, row) for row in self.rows(**values)]
