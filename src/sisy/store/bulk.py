"""Insert or update many rows with one statement.

Each statement is made for the columns that are given. A value that all rows share is written once.
On PostgreSQL, each other column is an array, so that the text is the same for any number of rows:

    INSERT INTO sisy_run (queue, payload)
    SELECT %(queue)s::varchar, own.payload
    FROM ROWS FROM (jsonb_array_elements(%(payload)s::jsonb)) WITH ORDINALITY
        AS own (payload, place)
    ORDER BY own.place RETURNING id

    UPDATE sisy_task SET state = %s::varchar, next_run = own.c0
    FROM ROWS FROM (unnest(%s::bigint[]), unnest(%s::timestamptz[])) AS own (pk, c0)
    WHERE sisy_task.id = own.pk

Elsewhere, an update finds the value of each row by ``CASE id WHEN … THEN … END``, for up to a
hundred rows at a time.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Combinable

from sisy.records import nested
from sisy.records.alike import note_inserted, values_of
from sisy.store.statements import change, fetch, insert_into, placeholders

ROW_BATCH = 100  # where each value of each row is a parameter; SQLite may take only 999 of them

Values = Mapping[str, Sequence[Any]]
"""By the name of a field, a value for each row."""


@dataclass(frozen=True, slots=True)
class Column:
    """The values of a column, adapted to the driver of a database.

    Attributes:
        kind: the type of the column in SQL.
        is_shared: whether all rows have the same value.
        value: the value of all rows, or the values of all rows, as ``rows`` takes them.
        rows: the SQL that returns the values as rows on PostgreSQL, unless they are shared. It is
            formatted with the placeholder of the value.
    """

    name: str
    kind: str
    is_shared: bool
    value: Any
    rows: str = ""

    @classmethod
    def of(
        cls,
        field: "models.Field[Any, Any]",
        held: Sequence[Any],
        connection: BaseDatabaseWrapper,
    ) -> "Column":
        """Return the column of ``field`` in rows that hold these values, at least one."""
        kind, name = kind_of(field, connection), str(field.column)
        if _are_alike(field, held):
            return cls(name, kind, True, field.get_db_prep_save(held[0], connection))
        is_json = isinstance(field, models.JSONField) and connection.vendor == "postgresql"
        if is_json and None not in held:  # that is stored as NULL, not as JSON's null
            # One text takes a tenth of the time of an array of as many texts as there are rows.
            text = json.dumps(held, cls=field.encoder)  # type: ignore[attr-defined]
            return cls(name, kind, False, text, "jsonb_array_elements({}::jsonb)")
        values = [field.get_db_prep_save(value, connection) for value in held]
        return cls(name, kind, False, values, f"unnest({{}}::{kind}[])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """The update of some rows.

    Attributes:
        assign: the new values of each row.
        add: the numbers to add to each row.
        seen: the values that each row must still have; a row with other values is not updated.
        compute: by the name of a field, the expression that the database computes for it.
    """

    assign: Values = field(default_factory=dict)
    add: Values = field(default_factory=dict)
    seen: Values = field(default_factory=dict)
    compute: Mapping[str, Combinable] = field(default_factory=dict)


def returning_keys(insertion: str, shared: Mapping[str, str]) -> str:
    """Return a statement that inserts rows, and returns their keys."""
    return f"{insertion} RETURNING id"


def insert_many(
    using: str,
    records: Sequence[models.Model],
    complete: Callable[[str, Mapping[str, str]], str] = returning_keys,
) -> None:
    """Insert records of a model into PostgreSQL with one statement, and set their keys.

    Args:
        complete: makes the statement, which returns the keys, from the insertion and from the
            columns in which all records have the same value, each with its SQL.
    """
    # Django would write each value of each record into the statement, which takes longer than to
    # insert the records.
    connection, model = connections[using], type(records[0])
    columns = [
        Column.of(field, values_of(records, field.attname), connection)
        for field in model._meta.concrete_fields
    ]
    # A column that is left out is NULL.
    shared = [column for column in columns if column.is_shared and column.value is not None]
    own = [column for column in columns if not column.is_shared]
    names = [connection.ops.quote_name(column.name) for column in own]
    sources = ", ".join(column.rows.format(f"%({column.name})s") for column in own)
    rows = (
        f"ROWS FROM ({sources}) WITH ORDINALITY" if own else f"generate_series(1, {len(records)})"
    )
    value_of = {column.name: f"%({column.name})s::{column.kind}" for column in shared}
    values = [*value_of.values(), *(f"own.{name}" for name in names)]
    statement = (
        f"{insert_into(using, model, [column.name for column in (*shared, *own)])} "
        f"SELECT {', '.join(values)} FROM {rows} AS own({', '.join([*names, 'place'])}) "
        "ORDER BY own.place"
    )
    params = {column.name: column.value for column in (*shared, *own)}
    inserted = fetch(connection, complete(statement, value_of), params)
    note_inserted(using, records, [pk for (pk,) in inserted])


def update_rows(using: str, model: type[models.Model], pks: Sequence[int], update: Update) -> int:
    """Update the rows with these keys, and return how many were.

    PostgreSQL takes all rows in one statement, other databases a hundred.
    """
    connection = connections[using]
    at_once = len(pks) if connection.vendor == "postgresql" else ROW_BATCH
    count = 0
    for start in range(0, len(pks), at_once or 1):
        statement = _Statement(model, connection, pks, update, slice(start, start + at_once))
        count += change(using, *statement.text_and_params())
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
        """Return the clause that selects the rows and their values, and its parameters."""
        if not self._arrays:
            condition, params = _among(self._pks, self._connection)
            return f" WHERE {self._table}.id {condition}", params
        sources = ", ".join(
            ["unnest(%s::bigint[])", *(array.rows.format("%s") for array in self._arrays)]
        )
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


def _among(keys: Sequence[int], connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
    """Return the SQL that compares a key with ``keys``, and its parameters."""
    if connection.vendor == "postgresql":
        return "= ANY(%s)", [list(keys)]
    return f"IN ({placeholders(keys)})", list(keys)


def kind_of(field: "models.Field[Any, Any]", connection: BaseDatabaseWrapper) -> str:
    """Return the type of a column in SQL, without its length."""
    # A cast to a type with a length truncates texts.
    return (field.cast_db_type(connection) or "").partition("(")[0]


def _are_alike(field: "models.Field[Any, Any]", held: Sequence[Any]) -> bool:
    """Return whether all values of a column are the same."""
    # In JSON, 1, 1.0 and true are three values. In Python they are equal.
    if isinstance(field, models.JSONField):
        return not any(nested.differ(held[0], value) for value in held[1:])
    return held.count(held[0]) == len(held)
