"""A query that is put into SQL once, and asked again and again with other values."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections
from django.db.models import QuerySet

from sisy.models.fields import MomentField

Value = int | datetime

STAND_INS = {
    int: (1_000_000_007, 1_000_000_009),
    datetime: tuple(datetime(1999, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in (1, 2)),
}
"""Two values of each kind, by which their places in the statement are found."""


class Prepared:
    """A query of which only some values differ from one time to the next.

    Django needs ten times as long to put a query of many parts into SQL as the database needs to
    answer it.

    Args:
        build: returns the query for values that are given by name.
        using: the alias of the database.
        kinds: by name, what kind of value it is.
    """

    def __init__(
        self, build: Callable[..., QuerySet[Any, Any]], using: str, **kinds: type[Value]
    ) -> None:
        self._using = using
        first = {name: STAND_INS[kind][0] for name, kind in kinds.items()}
        self._compiler = build(**first).query.get_compiler(using)
        self._sql, self._params = self._compiler.as_sql()
        self._places: dict[int, str] = {}
        for name, kind in kinds.items():
            compiler = build(**{**first, name: STAND_INS[kind][1]}).query.get_compiler(using)
            others = compiler.as_sql()[1]
            pairs = enumerate(zip(self._params, others, strict=True))
            self._places |= {place: name for place, (one, other) in pairs if one != other}

    def rows(self, **values: Value) -> list[tuple[Any, ...]]:
        """Return what the query returns for these values."""
        connection = connections[self._using]
        params = list(self._params)
        for place, name in self._places.items():
            value = values[name]
            if isinstance(value, datetime):
                value = MomentField().get_db_prep_value(value, connection)
            params[place] = value
        with connection.cursor() as cursor:
            cursor.execute(self._sql, params)
            found = cursor.fetchall()
        return [tuple(row) for row in self._compiler.results_iter([found])]
