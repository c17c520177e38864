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
from django.db.backends.signals import connection_created

from sisy import conf
from sisy.runtime import signal_dispatch
from sisy.runtime.threads import THREAD_END_TIMEOUT, DaemonThreads
from sisy.runtime.transactions import TransactionGuard
from sisy.store.isolation import database_is_away, past_deadlocks
from sisy.store.sessions import limit_idle_transactions

P = ParamSpec("P")
T = TypeVar("T")

_thread = threading.local()


class DatabaseThread:
    """A thread with database connections of its own, in which a role does its queries."""

    # The connections stay open whatever ``CONN_MAX_AGE`` says, because opening one costs as much
    # as ten queries. After an error that may have broken them, they are opened again.
    def __init__(self, name: str) -> None:
        self._thread = DaemonThreads(f"{name}-database", size=1, begin=begin_thread)

    async def run(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``step`` in the thread, and return its result."""
        work = partial(with_sound_connections, step, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def close(self) -> None:
        """Close the connections and end the thread. A thread that hangs ends with the process."""
        self._thread.shutdown(wait=False)
        self._thread.join(THREAD_END_TIMEOUT)


def with_sound_connections(step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call ``step`` in this thread, and return its result. Close connections that are broken."""
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


def begin_thread() -> None:
    """Mark the calling thread as one of a role: its idle transactions end with a lease."""
    _thread.is_a_roles = True
    signal_dispatch.send_in_thread()


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
    limit_idle_transactions(connection, conf.get_settings().lease_seconds)


def connect() -> None:
    """Connect the receiver."""
    connection_created.connect(on_connection_created, dispatch_uid="sisy.store.database_thread")
