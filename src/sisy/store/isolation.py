"""Keeps one bad row from stopping others, and tells it from a database that is away."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError

from sisy.runtime.log import logger

DEADLOCK_RETRIES = 5
MYSQL_DEADLOCKS = ((1213,), (1205,))  # found at once, or by having waited for too long
POSTGRESQL_DEADLOCK = "40P01"
POSTGRESQL_IDLE_TIMEOUTS = ("25P03", "25P04")  # of the transaction; the connection ends, too

P = ParamSpec("P")
T = TypeVar("T")


def isolating(attempt: Callable[[], T], instead: Callable[[Exception], T]) -> T:
    """Return what ``attempt`` returns; if it fails, what ``instead`` makes of the error.

    Usually ``attempt`` does something for many rows at once, and ``instead`` for one row after the
    other, so that only the bad one is left out.

    Raises:
        Exception: the database is away, which is no row's fault: ``instead`` would fail as well.
    """
    try:
        return attempt()
    except Exception as error:
        if database_is_away(error):
            raise
        return instead(error)


def database_is_away(error: Exception) -> bool:
    """Return whether an error is about the connection, and not about what was sent over it."""
    if isinstance(error, (OperationalError, InterfaceError)):
        return True
    # PostgreSQL ends a transaction that was idle for too long with an error of another class than
    # those of other broken connections.
    return getattr(error.__cause__, "sqlstate", None) in POSTGRESQL_IDLE_TIMEOUTS


def past_deadlocks(step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what ``step`` returns; after a deadlock call it again, up to five times.

    InnoDB ends one of two transactions that wait for each other, and expects the caller to retry.

    Raises:
        OperationalError: there was a deadlock each time.
    """
    for _ in range(DEADLOCK_RETRIES):
        try:
            return step(*args, **kwargs)
        except OperationalError as error:
            if not _is_deadlock(error):
                raise
            logger.debug("Retrying a transaction that a deadlock ended: %s", error)
    return step(*args, **kwargs)


def _is_deadlock(error: OperationalError) -> bool:
    sqlstate = getattr(error.__cause__, "sqlstate", None)
    return sqlstate == POSTGRESQL_DEADLOCK or error.args[:1] in MYSQL_DEADLOCKS
