"""Sessions of PostgreSQL that Sisy may change, because no pooler shares them with other clients.

A pooler that works by transactions, such as PgBouncer, gives the session to another client after
each transaction. What one client sets for the session also applies to the others, and so do the
statements that it has prepared. A pooler tells its clients a made-up process number instead of the
one that ``pg_backend_pid()`` returns. That reveals the pooler.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.db.backends.base.base import BaseDatabaseWrapper

PREPARED_AFTER = 5
"""A session prepares nothing until it has sent this many statements that it may prepare. It then
prepares a statement once it has sent it this many times, which is psycopg's own threshold."""

IDLE = 0  # psycopg's state of a connection without a transaction

# Set the timeout only if the session is not shared; return NULL otherwise.
LIMIT_SESSION = """
    SELECT CASE WHEN pg_backend_pid() = %s
    THEN set_config('idle_in_transaction_session_timeout', %s, false) END
"""
LIMIT_TRANSACTION = "SELECT set_config('idle_in_transaction_session_timeout', %s, true)"
LIMIT_SESSION_OF_MARIADB = "SET SESSION idle_transaction_timeout = %s"

T = TypeVar("T")


@dataclass(slots=True)
class Session:
    """The state of a psycopg connection.

    Attributes:
        sent: how many statements were sent that a session may prepare.
        may_prepare: whether it may prepare them.
    """

    sent: int = 0
    may_prepare: bool = False


_sessions: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()

# By Django's connection: a cursor refers to that of psycopg, which would never be forgotten.
_cursors: WeakKeyDictionary[BaseDatabaseWrapper, Any] = WeakKeyDictionary()


def session_of(connection: BaseDatabaseWrapper) -> Session:
    """Return the state of a session that is about to send a statement that it may prepare."""
    raw = connection.connection
    session = _sessions.get(raw)
    if session is None:
        if not has_kept_cursor(connection):
            return Session()
        session = _sessions[raw] = Session()
    session.sent += 1
    if session.sent == PREPARED_AFTER:
        # Not over a cursor of Django's, because tests of projects count the queries of those.
        with connection.wrap_database_errors:
            process = raw.execute("SELECT pg_backend_pid()").fetchone()[0]
        session.may_prepare = process == raw.info.backend_pid
    return session


def has_kept_cursor(connection: BaseDatabaseWrapper) -> bool:
    """Return whether `cursor_of` supports the driver of an open connection: psycopg 3."""
    return connection.vendor == "postgresql" and hasattr(
        connection.connection, "prepare_threshold"
    )


def cursor_of(connection: BaseDatabaseWrapper) -> Any:
    """Return a cursor of psycopg for frequent statements, which its connection keeps.

    It sends values separately from the statement. The cursors that Django creates by default write
    them into it.
    """
    # A new cursor must look up again how to adapt values. That takes as long as sending them.
    raw = connection.connection
    cursor = _cursors.get(connection)
    if cursor is None or cursor.connection is not raw or cursor.closed:
        cursor = _cursors[connection] = import_module("psycopg").Cursor(raw)
        # Django's own loader of moments is written in Python, and takes ten times as long.
        loader = import_module("psycopg.types.datetime").TimestamptzLoader
        cursor.adapters.register_loader("timestamptz", loader)
    return cursor


def limit_idle_transactions(connection: BaseDatabaseWrapper, seconds: float) -> None:
    """Let the database end transactions of a new connection that are idle for ``seconds``.

    Behind a pooler, each transaction gets the limit for itself: PostgreSQL would otherwise end
    transactions of the project, too.
    """
    if connection.vendor == "postgresql":
        if not _limit_session(connection, f"{seconds}s"):
            _limit_each_transaction(connection, f"{seconds}s")
    elif getattr(connection, "mysql_is_mariadb", False):
        with connection.cursor() as cursor:
            cursor.execute(LIMIT_SESSION_OF_MARIADB, [int(seconds)])


def _limit_session(connection: BaseDatabaseWrapper, timeout: str) -> bool:
    """Limit idle transactions of the whole session. Return False if a pooler shares it."""
    with connection.cursor() as cursor:
        cursor.execute(LIMIT_SESSION, [_driver(connection).info.backend_pid, timeout])
        return cursor.fetchone()[0] is not None


def _limit_each_transaction(connection: BaseDatabaseWrapper, timeout: str) -> None:
    others = [
        wrapper
        # The wrappers stay when the connection is opened again, so remove the old one.
        for wrapper in connection.execute_wrappers
        if getattr(wrapper, "func", None) is not _limit_transaction
    ]
    connection.execute_wrappers = [*others, partial(_limit_transaction, timeout)]


def _limit_transaction(
    timeout: str,
    execute: Callable[..., T],
    sql: Any,
    params: Any,
    many: bool,
    context: dict[str, Any],
) -> T:
    """Limit one transaction, before its first statement. An execute wrapper for Django."""
    connection = context["connection"]
    begins = _driver(connection).info.transaction_status == IDLE
    if begins and not connection.get_autocommit():
        with _driver(connection).cursor() as cursor:
            cursor.execute(LIMIT_TRANSACTION, [timeout])
    return execute(sql, params, many, context)


def _driver(connection: BaseDatabaseWrapper) -> Any:
    """Return the underlying connection of psycopg 2 or 3."""
    return connection.connection
