"""End the transactions that user code leaves open.

A thread keeps its connections from one call of user code to the next. If a transaction stays open,
everything that follows is lost or fails: Django considers such a connection to be in an atomic
block even after it was closed.
"""

import threading
from contextlib import suppress
from typing import Self

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.transaction import Atomic
from django.utils.translation import ngettext

from sisy.exceptions import TransactionLeftOpen
from sisy.runtime.compat import thread_of
from sisy.runtime.log import logger

IN_TRANSACTION = (2, 3)  # libpq's statuses INTRANS and INERROR


class TransactionGuard:
    """Rolls back the transactions that user code leaves open in this thread.

    Create it before the call, and `release` it afterwards, in the same thread. Transactions that
    were open before stay open if the guard was created by `here`.
    """

    def __init__(self) -> None:
        self._depths: dict[str, int] = {}
        self._savepoints: dict[str, tuple[str, int]] = {}
        self._shared: set[BaseDatabaseWrapper] = set()

    @classmethod
    def here(cls, *, with_savepoints: bool = False) -> Self:
        """Return a guard that spares the transactions that are open in this thread now.

        Args:
            with_savepoints: whether to restore them if the call breaks them.
        """
        guard = cls()
        opened = connections.all(initialized_only=True)
        guard._shared = {one for one in opened if _is_shared_by_this_thread(one)}
        for connection in opened:
            if connection.in_atomic_block:
                guard._spare(connection, with_savepoints)
        return guard

    def release(self) -> TransactionLeftOpen | None:
        """Roll back what was left open. Return an error that names it; None if nothing was.

        A connection with such a transaction is replaced, unless it has an outer transaction.
        """
        opened = connections.all(initialized_only=True)
        for connection in opened:
            # User code shared it with other threads. They must not use it any more, and the next
            # guard must not spare it.
            if _is_shared_by_this_thread(connection) and connection not in self._shared:
                while connection.allow_thread_sharing:
                    connection.dec_thread_sharing()
        found = [connection for connection in opened if self._has_more_open(connection)]
        error = _error_of(found) if found else None
        if error is not None:
            for connection in found:
                self._end(connection, error)
        for alias, (savepoint, _) in self._savepoints.items():
            connections[alias].savepoint_commit(savepoint)
        return error

    def _spare(self, connection: BaseDatabaseWrapper, with_savepoints: bool) -> None:
        alias = connection.alias
        self._depths[alias] = len(connection.atomic_blocks)
        if not with_savepoints or connection.needs_rollback:
            return
        if (savepoint := connection.savepoint()) is not None:
            self._savepoints[alias] = savepoint, len(connection.run_on_commit)

    def _has_more_open(self, connection: BaseDatabaseWrapper) -> bool:
        # Tests with a live server share connections between threads. Another thread may need it.
        if connection.allow_thread_sharing:
            return False
        depth = self._depths.get(connection.alias)
        if depth is None:
            return connection.in_atomic_block or _is_in_transaction(connection)
        is_broken = connection.alias in self._savepoints and connection.needs_rollback
        return len(connection.atomic_blocks) > depth or is_broken

    def _end(self, connection: BaseDatabaseWrapper, error: TransactionLeftOpen) -> None:
        depth = self._depths.get(connection.alias)
        is_sound = _roll_back(connection.atomic_blocks[depth or 0 :], error)
        if depth is None:
            if not (is_sound and _renew(connection)):
                _discard(connection)
        elif connection.needs_rollback and connection.alias in self._savepoints:
            savepoint, count = self._savepoints.pop(connection.alias)
            connection.needs_rollback = False
            connection.savepoint_rollback(savepoint)
            connection.savepoint_commit(savepoint)
            del connection.run_on_commit[count:]


def _is_shared_by_this_thread(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the calling thread has created a connection and shares it with others."""
    return connection.allow_thread_sharing and thread_of(connection) == threading.get_ident()


def _error_of(found: list[BaseDatabaseWrapper]) -> TransactionLeftOpen:
    names = [repr(connection.alias) for connection in found]
    databases = ngettext("the database", "the databases", len(names))
    return TransactionLeftOpen(
        f"The function left a transaction open on {databases} {' and '.join(names)}. Sisy rolled "
        "it back, including everything written in it. Close every transaction before the function "
        'returns, for example by using "with transaction.atomic():".'
    )


def _is_in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Return whether the database has an open transaction, even if Django does not know it."""
    # Raw SQL can begin one, and so does the first statement after autocommit was turned off. If a
    # project's settings turn autocommit off, every statement begins one, which proves nothing.
    raw = connection.connection
    if raw is None or not connection.settings_dict["AUTOCOMMIT"]:
        return False
    if connection.vendor == "sqlite":
        return bool(raw.in_transaction)
    if connection.vendor == "postgresql":
        return raw.info.transaction_status in IN_TRANSACTION
    return not connection.autocommit


def _roll_back(blocks: list[Atomic], error: TransactionLeftOpen) -> bool:
    """Leave atomic blocks, the innermost first. Return whether that worked."""
    try:
        for block in reversed(blocks):
            block.__exit__(type(error), error, None)
    except Exception:  # noqa: BLE001 - the connection is replaced
        logger.debug("Could not roll back a transaction:", exc_info=True)
        return False
    return True


def _renew(connection: BaseDatabaseWrapper) -> bool:
    """Close a connection so that the next statement opens a new one. Return whether it worked."""
    try:
        if _is_in_transaction(connection):
            connection.rollback()
        if connection.connection is not None:
            # An SQLite database in memory has only this connection, which close() keeps.
            connection.set_autocommit(connection.settings_dict["AUTOCOMMIT"])
        connection.close()
    except Exception:  # noqa: BLE001 - the connection is discarded
        logger.debug("Could not close a connection:", exc_info=True)
        return False
    return not connection.in_atomic_block


def _discard(connection: BaseDatabaseWrapper) -> None:
    """Remove a connection that Django could not open again from this thread."""
    with suppress(Exception):  # it is broken, and the database will notice that it is gone
        connection.close()
    del connections[connection.alias]
