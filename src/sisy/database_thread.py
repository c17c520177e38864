"""The threads in which heartbeats and workers use the database.

Their transactions are ended by the database if they are idle for the length of a lease.
"""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from sisy import conf, signal_dispatch
from sisy.store.isolation import database_is_away, past_deadlocks
from sisy.threads import TIME_TO_END, DaemonThreads
from sisy.transactions import TransactionGuard

IDLE = 0  # the state of a connection of psycopg that is in no transaction

P = ParamSpec("P")
T = TypeVar("T")

_thread = threading.local()


class DatabaseThread:
    """A thread with database connections of its own, in which a role does its queries."""

    # The connections stay open whatever ``CONN_MAX_AGE`` says, because opening one costs as much
    # as ten queries. After an error that may have broken them, they are opened again.
    def __init__(self, name: str) -> None:
        self._thread = DaemonThreads(1, f"{name}-database", _begin)

    async def run(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``step`` in the thread, and return its result."""
        work = partial(_with_sound_connections, step, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Close the connections and end the thread. A thread that hangs ends with the process."""
        self._thread.shutdown(wait=False)
        self._thread.join(TIME_TO_END)


def _with_sound_connections(step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        result = past_deadlocks(step, *args, **kwargs)
    except Exception as error:
        if database_is_away(error):
            connections.close_all()
        raise
    except BaseException as error:  # noqa: BLE001 - of a receiver of Django's, or a router
        signal_dispatch.raise_as_exception(error)
    finally:
        left_open = TransactionGuard().release()
        _give_back_to_pools()
    # A receiver of Django's signals left a transaction open, so the step was rolled back. The
    # error makes the loop repeat it.
    if left_open is not None:
        raise left_open
    return result


def _give_back_to_pools() -> None:
    """Return pooled connections to their pool."""
    # A pool may have fewer connections than there are threads, and getting one is fast.
    for connection in connections.all(initialized_only=True):
        if connection.settings_dict["OPTIONS"].get("pool"):
            connection.close()


def _begin() -> None:
    _thread.is_a_roles = True
    signal_dispatch.leave_to_teller()


def on_connection_created(*, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Make the database end a role's transaction that is idle for the length of a lease.

    Receiver of Django's signal ``connection_created``.
    """
    # A process that freezes in a transaction holds locks, so its runs could not be rescued. The
    # project uses pooled connections, too, and its transactions may be slower, so these are left
    # alone.
    if not getattr(_thread, "is_a_roles", False) or connection.settings_dict["OPTIONS"].get(
        "pool"
    ):
        return
    seconds = conf.get_settings().lease_seconds
    if connection.vendor == "postgresql":
        if not _limit_session(connection, f"{seconds}s"):
            _limit_each_transaction(connection, f"{seconds}s")
    elif getattr(connection, "mysql_is_mariadb", False):
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION idle_transaction_timeout = %s", [int(seconds)])


# A pooler such as PgBouncer shares a session of the server between clients, one transaction after
# another. A setting of the session would affect the project's slower transactions, too. To detect
# a pooler, compare the session's real process ID with the one that the client was told: a pooler
# makes up the latter.
LIMIT_SESSION = """
    SELECT CASE WHEN pg_backend_pid() = %s
    THEN set_config('idle_in_transaction_session_timeout', %s, false) END
"""
LIMIT_TRANSACTION = "SELECT set_config('idle_in_transaction_session_timeout', %s, true)"


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
