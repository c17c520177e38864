"""Queries that are put into SQL once and asked again and again."""

from collections.abc import Callable, Sequence, Sized
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet

from sisy.models.fields import MOMENT

M = TypeVar("M", bound=models.Model)


class Limit(int):
    """The number of requested rows; Django writes it into the statement."""


class Keys(list[int]):
    """Any number of keys, for ``pk__in``; each has a place of its own in the statement."""


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


def places(values: Sized) -> str:
    """Return a place for each of ``values``, as a statement takes them between brackets."""
    return ", ".join(["%s"] * len(values))


def among(keys: Sequence[int], connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    """Return what a condition says to hold one of ``keys``, and what it takes at its places."""
    if connection.vendor == "postgresql":
        return "= ANY(%s)", [list(keys)]
    return f"IN ({places(keys)})", list(keys)


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
        self._build = build
        self._using = using
        self._takes_arrays = connections[using].vendor == "postgresql"
        first = {name: STAND_INS[kind][0] for name, kind in kinds.items()}
        self._compiler = build(**first).using(using).query.get_compiler(using)
        sql, params = self._compiler.as_sql()
        selected = [column for column, _, _ in self._compiler.select]
        self._converters = self._compiler.get_converters(selected)
        self._params = list(params)
        self._names = [column.target.attname for column in selected if hasattr(column, "target")]
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
                if issubclass(kind, list) and self._takes_arrays:
                    self._take_an_array_at(place, "bigint" if kind is Keys else "text")
        self._write_names_out()

    def _places_of(self, name: str, value: Value, others: Any) -> list[int]:
        """Return at which places a value stands, by what stands there for another value."""
        plain = value[0] if isinstance(value, list) else _adapted(value, connections[self._using])
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
        self._between[place] = before.removesuffix("IN (") + "= ANY("
        self._between[place + 1] = f"::{kind}[]" + after

    def _write_names_out(self) -> None:
        """Write names that are always the same, such as states, into the statement.

        A partial index serves where its condition is seen to hold. To see it of a value that is
        given, SQLite puts the statement together anew each time.
        """
        between, params, places = self._between[:1], list[Any](), dict[int, str]()
        for place, (value, after) in enumerate(zip(self._params, self._between[1:], strict=True)):
            name = self._places.get(place)
            if name is None and _is_plain_name(value):
                between[-1] += f"'{value}'{after}"
                continue
            if name is not None:
                places[len(params)] = name
            params.append(value)
            between.append(after)
        self._between, self._params, self._places = between, params, places

    def rows(self, **values: Value) -> list[tuple[Any, ...]]:
        """Return what a query of tuples returns for these values."""
        if [] in values.values():  # SQL has no empty lists, and Django does without them
            return list(self._build(**values).using(self._using))
        connection = connections[self._using]
        sql, params = self._statement(
            {name: _adapted(value, connection) for name, value in values.items()}
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            found = cursor.fetchall()
        if found and self._converters:
            found = self._compiler.apply_converters(found, self._converters)
        return [tuple(row) for row in found]

    def records(self, **values: Value) -> list[M]:
        """Return the records that a query returns for these values."""
        if [] in values.values():
            return list(self._build(**values).using(self._using))
        from_db = self._compiler.query.model.from_db
        return [from_db(self._using, self._names, row) for row in self.rows(**values)]

    def _statement(self, values: dict[str, Any]) -> tuple[str, list[Any]]:
        """Return the statement and what it takes at its places, one for each of a list."""
        parts: list[str] = []
        params: list[Any] = []
        for place, before in enumerate(self._between[:-1]):
            name = self._places.get(place)
            value = self._params[place] if name is None else values[name]
            is_many = isinstance(value, list) and not self._takes_arrays
            parts += (before, places(value) if is_many else "%s")
            params += value if is_many else [value]
        return "".join([*parts, self._between[-1]]), params


def _is_plain_name(value: Any) -> bool:
    return isinstance(value, str) and value.isascii() and value.isidentifier()


def _adapted(value: Value, connection: BaseDatabaseWrapper) -> Any:
    return MOMENT.get_db_prep_value(value, connection) if isinstance(value, datetime) else value
