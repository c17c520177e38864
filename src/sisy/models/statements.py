"""Send hot statements: their text stays the same, and only the values differ.

PostgreSQL needs three times as long to plan the insertion of a task and its run as to execute it.
It plans a prepared statement only once. Django prepares no statements, because a pooler that works
by transactions, such as PgBouncer, gives the session to another client after each transaction. The
other client would then find our statements, and we would miss them.

So Sisy prepares its hot statements only in a session that no pooler shares, and only if the
session sends many of them. It recognizes such a session by the process that serves it: a pooler
tells its clients a number of its own, and not the one that ``pg_backend_pid()`` returns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

PREPARED_AFTER = 5
"""Number of hot statements that a session sends before it prepares any, and of times that it then
sends the same one before it prepares that one; psycopg's own threshold."""

UNKNOWN_STATEMENT = "26000"


@dataclass(slots=True)
class _Session:
    """The state of a psycopg connection."""

    sent: int = 0
    is_unshared: bool = False


_sessions: WeakKeyDictionary[Any, _Session] = WeakKeyDictionary()


def execute(using: str, statement: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Execute a statement that returns rows, and return them.

    Name the type of a parameter (``%s::text``) unless it is one of the ``VALUES`` of a column.
    """
    connection = connections[using]
    with transaction.mark_for_rollback_on_error(using=using):
        connection.ensure_connection()
        session = _session_of(connection)
        if not session.is_unshared:
            return _rows(connection.cursor(), statement, params)
        try:
            return _rows_of_prepared(connection, statement, params)
        except Error as error:
            if getattr(error.__cause__, "sqlstate", None) != UNKNOWN_STATEMENT:
                raise
            # The project sent DISCARD or DEALLOCATE, which psycopg did not notice.
            session.is_unshared = False
            if connection.in_atomic_block:
                raise
            return _rows(connection.cursor(), statement, params)


def _rows(cursor: CursorWrapper, statement: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    with cursor:
        cursor.execute(statement, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def _rows_of_prepared(
    connection: BaseDatabaseWrapper, statement: str, params: Sequence[Any]
) -> list[tuple[Any, ...]]:
    """Let psycopg prepare the statement if it was sent often."""
    connection.validate_thread_sharing()
    raw = connection.connection
    wrap = connection.make_debug_cursor if connection.queries_logged else connection.make_cursor
    # The cursors that Django makes by default write the values into the statement.
    cursor = wrap(_binding_cursor()(raw))
    before, raw.prepare_threshold = raw.prepare_threshold, PREPARED_AFTER
    try:
        return _rows(cursor, statement, params)
    finally:
        raw.prepare_threshold = before


def _session_of(connection: BaseDatabaseWrapper) -> _Session:
    """Return the state of a session that is about to send a hot statement."""
    raw = connection.connection
    if connection.vendor != "postgresql" or not hasattr(raw, "prepare_threshold"):  # psycopg2
        return _Session()
    session = _sessions.get(raw)
    if session is None:
        session = _sessions[raw] = _Session()
    session.sent += 1
    if session.sent == PREPARED_AFTER:
        # Not over a cursor of Django's, because tests of projects count the queries of those.
        with connection.wrap_database_errors:
            process = raw.execute("SELECT pg_backend_pid()").fetchone()[0]
        session.is_unshared = process == raw.info.backend_pid
    return session


@cache
def _binding_cursor() -> Any:
    """Return the class of cursors that send values beside the statement."""
    return import_module("psycopg").Cursor
