"""Updates many rows, each to values of its own, by one statement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Combinable

from sisy.models.columnar import Column
from sisy.models.prepared import among

ROW_BATCH = 100  # where each value of each row is a parameter; SQLite may take only 999 of them

Values = Mapping[str, Sequence[Any]]
"""By the name of a field, a value for each row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """The update of some rows.

    Attributes:
        assign: what each row holds from now on.
        add: what is added to what each row holds.
        seen: what each row must still hold; rows that hold something else stay as they are.
        compute: by the name of a field, what the database computes for it.
    """

    assign: Values = field(default_factory=dict)
    add: Values = field(default_factory=dict)
    seen: Values = field(default_factory=dict)
    compute: Mapping[str, Combinable] = field(default_factory=dict)


def update_rows(using: str, model: type[models.Model], pks: Sequence[int], update: Update) -> int:
    """Update the rows with these keys, and return how many were.

    PostgreSQL takes all rows in one statement, other databases a hundred.
    """
    connection = connections[using]
    at_once = len(pks) if connection.vendor == "postgresql" else ROW_BATCH
    count = 0
    for start in range(0, len(pks), at_once or 1):
        statement = _Statement(model, connection, pks, update, slice(start, start + at_once))
        with connection.cursor() as cursor:
            cursor.execute(*statement.text_and_params())
            count += cursor.rowcount
    return count


class _Statement:
    """A statement that updates some of the rows.

    PostgreSQL joins the rows with an array for each column. Elsewhere a CASE finds the value of a
    row. A value that all rows share is written once.
    """

    def __init__(
        self,
        model: type[models.Model],
        connection: BaseDatabaseWrapper,
        pks: Sequence[int],
        update: Update,
        part: slice,
    ) -> None:
        self._model, self._connection, self._part = model, connection, part
        self._pks = list(pks[part])
        self._takes_arrays = connection.vendor == "postgresql"
        self._table = connection.ops.quote_name(model._meta.db_table)
        self._arrays: list[Column] = []
        self._update = update

    def text_and_params(self) -> tuple[str, list[Any]]:
        sets, set_params = self._terms("{name} = {table}.{name} + {value}", self._update.add)
        for clauses in (self._terms("{name} = {value}", self._update.assign), self._computed()):
            sets += clauses[0]
            set_params += clauses[1]
        seen, seen_params = self._terms("{table}.{name} = {value}", self._update.seen)
        source, source_params = self._source()
        conditions = " AND ".join([source, *seen])
        return (
            f"UPDATE {self._table} SET {', '.join(sets)}{conditions}",
            [*set_params, *source_params, *seen_params],
        )

    def _source(self) -> tuple[str, list[Any]]:
        """Return which rows are meant, and where their values are."""
        if not self._arrays:
            condition, params = among(self._pks, self._connection)
            return f" WHERE {self._table}.id {condition}", params
        sources = ", ".join(["unnest(%s::bigint[])", *(array.rows for array in self._arrays)])
        names = ", ".join(["pk", *(f"c{place}" for place in range(len(self._arrays)))])
        rows = f" FROM ROWS FROM ({sources}) AS own({names}) WHERE {self._table}.id = own.pk"
        return rows, [self._pks, *(array.value for array in self._arrays)]

    def _terms(self, term: str, values: Values) -> tuple[list[str], list[Any]]:
        quote = self._connection.ops.quote_name
        terms: list[str] = []
        params: list[Any] = []
        for name, held in values.items():
            field: models.Field[Any, Any] = self._model._meta.get_field(name)  # type: ignore[assignment]
            column = Column.of(field, held[self._part], self._connection)
            value, value_params = self._written(column)
            terms.append(term.format(table=self._table, name=quote(column.name), value=value))
            params += value_params
        return terms, params

    def _written(self, column: Column) -> tuple[str, list[Any]]:
        if self._takes_arrays and not column.is_shared:
            self._arrays.append(column)
            return f"own.c{len(self._arrays) - 1}", []
        if column.is_shared:
            cast = f"::{column.kind}" if self._takes_arrays else ""
            return f"%s{cast}", [column.value]
        cases = " ".join(["WHEN %s THEN %s"] * len(self._pks))
        pairs = zip(self._pks, column.value, strict=True)
        return f"CASE {self._table}.id {cases} END", [each for pair in pairs for each in pair]

    def _computed(self) -> tuple[list[str], list[Any]]:
        query = self._model._default_manager.using(self._connection.alias).all().query
        compiler = query.get_compiler(connection=self._connection)
        terms: list[str] = []
        params: list[Any] = []
        for name, value in self._update.compute.items():
            sql, value_params = compiler.compile(value.resolve_expression(query))  # type: ignore[attr-defined]
            terms.append(f"{self._connection.ops.quote_name(name)} = {sql}")
            params += value_params
        return terms, params
