"""The threads in which the roles speak to the database, and what ends a transaction of theirs."""

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
    """The thread in which a role speaks to the database, over connections of its own.

    They stay open whatever ``CONN_MAX_AGE`` says, since opening one costs ten times a query, and
    are opened anew after any error that may have broken them. Those of a pool go back to it.
    """

    def __init__(self, name: str) -> None:
        self._thread = DaemonThreads(1, f"{name}-database", _begin)

    async def run(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what ``step`` returns, called in the thread."""
        work = partial(_with_sound_connections, step, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Close the connections and end the thread; one that hangs ends with the process."""
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
    if left_open is not None:  # by a receiver of Django's signals; the step is to be taken again
        raise left_open
    return result


def _give_back_to_pools() -> None:
    """A pool may have fewer connections than there are threads, and hands them out quickly."""
    for connection in connections.all(initialized_only=True):
        if connection.settings_dict["OPTIONS"].get("pool"):
            connection.close()


def _begin() -> None:
    _thread.is_a_roles = True
    signal_dispatch.leave_to_teller()


def on_connection_created(*, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Have the database end a transaction of a role in which nothing happens for a lease.

    A process that is frozen in the middle of one holds locks, and nobody could take over its runs.
    Connections of a pool are also used by the project, whose transactions may be slower: they are
    left as they are. Receiver of Django's signal.
    """
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


# A pooler such as PgBouncer lends the same session of the server to many clients, one transaction
# after the other. What one of them sets for the session holds for the others: PostgreSQL would end
# the project's slower transactions, too. A pooler tells a client the key of a session that it
# made up itself; the number of the real one shows that there is a pooler.
LIMIT_SESSION = """
    SELECT CASE WHEN pg_backend_pid() = %s
    THEN set_config('idle_in_transaction_session_timeout', %s, false) END
"""
LIMIT_TRANSACTION = "SELECT set_config('idle_in_transaction_session_timeout', %s, true)"


def _limit_session(connection: BaseDatabaseWrapper, timeout: str) -> bool:
    """Limit idle transactions of a session that is ours alone; return False if it is not."""
    with connection.cursor() as cursor:
        cursor.execute(LIMIT_SESSION, [_driver(connection).info.backend_pid, timeout])
        return cursor.fetchone()[0] is not None


def _limit_each_transaction(connection: BaseDatabaseWrapper, timeout: str) -> None:
    others = [
        wrapper
        for wrapper in connection.execute_wrappers  # which stay when it connects once more
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
    """Limit each transaction on its own, before its first statement; wrapper of Django's."""
    connection = context["connection"]
    begins = _driver(connection).info.transaction_status == IDLE
    if begins and not connection.get_autocommit():
        with _driver(connection).cursor() as cursor:
            cursor.execute(LIMIT_TRANSACTION, [timeout])
    return execute(sql, params, many, context)


def _driver(connection: BaseDatabaseWrapper) -> Any:
    """Return the connection of psycopg, of either version."""
    return connection.connection
