"""Execute hand-written SQL, and read records with it.

The other modules of this package contain the statements. Each is one SQL text for all databases:

- ``%(now)s`` is a value that the caller passes. Values are never written into the text.
- ``{columns}`` is the list of a record's columns, without those that the caller defers, and
  ``{other_columns}`` that of another model's columns.
- ``{in_tasks}`` and ``{not_in_tasks}`` compare with the list ``tasks``. On PostgreSQL they are
  ``= ANY(%(tasks)s)`` and ``<> ALL(%(tasks)s)``, so that the text is the same for any number of
  values. Other databases have no arrays: there they are ``IN (…)`` and ``NOT IN (…)``. The list
  may be empty: no value is in it, not even NULL.
- ``{skip_locked}`` is ``FOR UPDATE SKIP LOCKED``, and ``{for_update}`` is ``FOR UPDATE``. SQLite
  has neither: there, each transaction of Sisy locks the whole database when it begins.
- ``{join_in_order}`` joins two tables, and reads the first one first. On PostgreSQL it is an
  ordinary join.
- ``{by_key}`` makes MySQL and MariaDB read a table by its primary key, so that they lock no entry
  of another index.
- ``{queued_of_tasks}`` and ``{running_of_tasks}`` are that small table as ``entry``. The statement
  says ``entry.task_id {in_tasks}``. PostgreSQL gets a subquery for each task. It can only look up
  entries by the key then, and reads none of those that were deleted while a snapshot is held.
- ``{as_utc}`` is ``AT TIME ZONE 'UTC'`` on PostgreSQL. Other databases store UTC without a zone.
- ``{is_paused}`` says whether the queue ``queue`` is paused. It is always false on other databases
  than PostgreSQL, where callers leave out paused queues: InnoDB would lock the runs of a paused
  queue, even if the statement does not return them.
- ``{text}`` is the type of texts to which a value can be cast.
- ``{clock}`` is the time by the database's clock, or NULL on SQLite, which has none.

States are written into the text (``state = 'queued'``) because the partial indexes name them: a
database that plans a statement before it knows the values would not use these indexes otherwise.
"""

from collections.abc import Iterable, Mapping, Sequence, Sized
from datetime import UTC, datetime, timedelta
from textwrap import dedent
from typing import Any, TypeVar

from django.db import Error, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from sisy.clock import NOW_SQL
from sisy.records.fields import adapted
from sisy.records.instances import read
from sisy.runtime.compat import Selection
from sisy.store.sessions import PREPARED_AFTER, cursor_of, has_kept_cursor, session_of

M = TypeVar("M", bound=models.Model)
Other = TypeVar("Other", bound=models.Model)

UNKNOWN_STATEMENT = "26000"  # of PostgreSQL

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""A moment before those of all rows."""

MARK_SLACK = timedelta(seconds=1)
"""The lag of low-water marks behind the current time: a transaction may commit a little late."""

# MySQL rejects ``IN ()``, and ``NOT IN (NULL)`` is never true.
EMPTY_LIST = "SELECT NULL WHERE 1 = 0"

OF_TASKS = """(
    SELECT each.* FROM unnest(%(tasks)s::bigint[]) AS wanted (task_id) CROSS JOIN LATERAL (
        SELECT * FROM {table} WHERE {table}.task_id = wanted.task_id OFFSET 0
    ) AS each
) AS entry"""

LOCKS = {"skip_locked": "FOR UPDATE SKIP LOCKED", "for_update": "FOR UPDATE"}
WORDS = {
    "postgresql": {
        **LOCKS,
        "as_utc": "AT TIME ZONE 'UTC'",
        "join_in_order": "JOIN",
        "by_key": "",
        "queued_of_tasks": OF_TASKS.format(table="sisy_queued_run"),
        "running_of_tasks": OF_TASKS.format(table="sisy_running_run"),
        "is_paused": (
            "EXISTS (SELECT 1 FROM sisy_queue WHERE name = %(queue)s AND paused_at IS NOT NULL)"
        ),
        "text": "text",
        "clock": NOW_SQL["postgresql"],
    },
    "mysql": {
        **LOCKS,
        "as_utc": "",
        "join_in_order": "STRAIGHT_JOIN",
        "by_key": "FORCE INDEX (PRIMARY)",
        "queued_of_tasks": "sisy_queued_run entry",
        "running_of_tasks": "sisy_running_run entry",
        "text": "char",
        "is_paused": "1 = 0",
        "clock": NOW_SQL["mysql"],
    },
    "sqlite": {
        **dict.fromkeys(LOCKS, ""),
        "as_utc": "",
        "join_in_order": "CROSS JOIN",
        "by_key": "",
        "queued_of_tasks": "sisy_queued_run entry",
        "running_of_tasks": "sisy_running_run entry",
        "is_paused": "1 = 0",
        "text": "text",
        "clock": "NULL",
    },
}


class Statement:
    """A statement whose text is written by hand; see the module's docstring.

    Args:
        text: the SQL.
    """

    def __init__(self, text: str) -> None:
        self.text = dedent(text).strip()

    def rows(self, using: str, **values: Any) -> list[tuple[Any, ...]]:
        """Return the rows that the statement returns, each value as the driver returns it."""
        return _rows_by_kept_cursor(connections[using], *self._text_and_params(using, values))

    def change(self, using: str, **values: Any) -> int:
        """Execute the statement and return how many rows it changed."""
        return change(using, *self._text_and_params(using, values))

    def records(
        self, using: str, model: type[M], *, defer: frozenset[str] = frozenset(), **values: Any
    ) -> list[M]:
        """Return the records of a model whose ``{columns}`` the statement returns.

        Args:
            defer: the names of fields that are read only when they are first used.
        """
        selection = Selection.of(model, using, defer)
        text, params = self._text_and_params(using, values, selection.columns)
        found = _rows_by_kept_cursor(connections[using], text, params)
        return read(model, using, selection.names, selection.converted(found))

    def records_with_others(
        self,
        using: str,
        model: type[M],
        other: type[Other],
        *,
        defer: frozenset[str] = frozenset(),
        **values: Any,
    ) -> tuple[list[M], dict[Any, Other], list[tuple[Any, ...]]]:
        """Return records, and of an outer join the records of another model, by their keys.

        Also return what the statement returns of each row after the columns of both.
        """
        own, joined = Selection.of(model, using, defer), Selection.of(other, using, frozenset())
        text, params = self._text_and_params(using, values, own.columns, joined.columns)
        found = _rows_by_kept_cursor(connections[using], text, params)
        end = len(own.names)
        last = end + len(joined.names)
        key = end + joined.names.index(other._meta.pk.attname)
        distinct = {row[key]: row[end:last] for row in found if row[key] is not None}
        records = read(model, using, own.names, own.converted([row[:end] for row in found]))
        others = read(other, using, joined.names, joined.converted(list(distinct.values())))
        return records, dict(zip(distinct, others, strict=True)), [row[last:] for row in found]

    def _text_and_params(
        self, using: str, values: Mapping[str, Any], columns: str = "", other_columns: str = ""
    ) -> tuple[str, dict[str, Any]]:
        sql, params = self.written(connections[using].vendor, values, columns, other_columns)
        for name, value in params.items():
            if isinstance(value, datetime):
                params[name] = adapted(using, value)
        return sql, params

    def written(
        self, vendor: str, values: Mapping[str, Any], columns: str = "", other_columns: str = ""
    ) -> tuple[str, dict[str, Any]]:
        """Return the text for a database, and the values by the names that it has for them."""
        words = {"columns": columns, "other_columns": other_columns, **WORDS[vendor]}
        params: dict[str, Any] = {}
        for name, value in values.items():
            if not isinstance(value, list):
                params[name] = value
            elif vendor == "postgresql":
                params[name] = _array_of(value)
                words |= {
                    f"in_{name}": f"= ANY(%({name})s)",
                    f"not_in_{name}": f"<> ALL(%({name})s)",
                }
            else:
                each = {f"{name}_{number}": one for number, one in enumerate(value)}
                params |= each
                listed = ", ".join(f"%({place})s" for place in each) or EMPTY_LIST
                words |= {f"in_{name}": f"IN ({listed})", f"not_in_{name}": f"NOT IN ({listed})"}
        return self.text.format(**words), params


def _array_of(values: list[Any]) -> list[Any] | str:
    """Return a list as a parameter for PostgreSQL."""
    # The driver would look at each key several times.
    if values and type(values[0]) is int:
        return f"{{{','.join(map(str, values))}}}"
    return values


Params = Sequence[Any] | Mapping[str, Any]


def fetch(connection: BaseDatabaseWrapper, sql: str, params: Params = ()) -> list[tuple[Any, ...]]:
    """Execute SQL that returns rows, and return them.

    A session of PostgreSQL that sends the same text often may prepare it. So name the type of a
    parameter (``%s::text``), unless it is one of the ``VALUES`` of a column.
    """
    try:
        return _rows_of_frequent(connection, sql, params)
    except Exception:
        # Entered only after an error, because entering it takes as long as the rest of this
        # function.
        with transaction.mark_for_rollback_on_error(using=connection.alias):
            raise


def change(using: str, sql: str, params: Params = ()) -> int:
    """Execute SQL that changes rows, and return how many."""
    with connections[using].cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def _rows(cursor: CursorWrapper, sql: str, params: Params) -> list[tuple[Any, ...]]:
    with cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _rows_of_frequent(
    connection: BaseDatabaseWrapper, sql: str, params: Params
) -> list[tuple[Any, ...]]:
    """Return the rows of a statement that is prepared if the session may prepare it."""
    # PostgreSQL needs three times as long to plan the insertion of a task and its run as to
    # execute it, and plans a prepared statement only once. Searches are planned each time, because
    # the right plan depends on how many rows there are at the moment.
    _connect(connection)
    session = session_of(connection)
    # The log of queries has only the values of statements that Django's own cursors send.
    if not session.may_prepare or connection.queries_logged:
        return _rows(connection.cursor(), sql, params)
    raw = connection.connection
    before, raw.prepare_threshold = raw.prepare_threshold, PREPARED_AFTER
    try:
        return _rows_of_kept(connection, sql, params)
    except Error as error:
        if getattr(error.__cause__, "sqlstate", None) != UNKNOWN_STATEMENT:
            raise
        # The project sent DISCARD or DEALLOCATE, which psycopg did not notice.
        session.may_prepare = False
        if connection.in_atomic_block:
            raise
        return _rows(connection.cursor(), sql, params)
    finally:
        raw.prepare_threshold = before


def _rows_by_kept_cursor(
    connection: BaseDatabaseWrapper, sql: str, params: Params
) -> list[tuple[Any, ...]]:
    """Return the rows of a statement that is planned each time that it is sent."""
    _connect(connection)
    if not has_kept_cursor(connection) or connection.queries_logged:
        return _rows(connection.cursor(), sql, params)
    return _rows_of_kept(connection, sql, params)


def _connect(connection: BaseDatabaseWrapper) -> None:
    """Open a connection, or check it, as Django does before it makes a cursor."""
    if connection.health_check_enabled:  # type: ignore[attr-defined]
        connection.close_if_health_check_failed()
    connection.ensure_connection()


def _rows_of_kept(
    connection: BaseDatabaseWrapper, sql: str, params: Params
) -> list[tuple[Any, ...]]:
    connection.validate_thread_sharing()
    cursor = cursor_of(connection)
    connection.make_cursor(cursor).execute(sql, params)
    # From the driver's cursor: it has all rows, and holds nothing that must be closed.
    with connection.wrap_database_errors:
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def insert_into(using: str, model: type[models.Model], columns: Iterable[str]) -> str:
    """Return the beginning of an insertion, up to the names of the columns."""
    quote = connections[using].ops.quote_name
    return f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(map(quote, columns))})"


def placeholders(values: Sized) -> str:
    """Return a placeholder for each of ``values``, separated by commas."""
    return ", ".join(["%s"] * len(values))
