"""Keep one bad row from stopping the others, unless the database itself is unavailable."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError

from sisy.runtime.log import logger

DEADLOCK_RETRIES = 5
MYSQL_DEADLOCKS = ((1213,), (1205,))  # a deadlock, and a lock that was not granted in time
POSTGRESQL_DEADLOCK = "40P01"
POSTGRESQL_IDLE_TIMEOUTS = ("25P03", "25P04")  # PostgreSQL ends the connection, too

P = ParamSpec("P")
T = TypeVar("T")


def isolating(attempt: Callable[[], T], instead: Callable[[Exception], T]) -> T:
    """Return the result of ``attempt``. If it fails, return that of ``instead`` with the error.

    Usually ``attempt`` changes many rows at once, and ``instead`` one row after the other, so that
    only the bad row is left out.

    Raises:
        Exception: the database is unavailable, so ``instead`` would fail as well.
    """
    try:
        return attempt()
    except Exception as error:
        if database_is_away(error):
            raise
        return instead(error)


def past_bad_rows(attempt: Callable[[], T], reject: Callable[[], int]) -> T:
    """Return the result of ``attempt``. If it fails because of bad rows, try again without them.

    Args:
        reject: takes bad rows out of the way, and returns how many there were.

    Raises:
        Exception: there were none, or the database is unavailable.
    """

    def again(error: Exception) -> T:
        if not reject():
            raise error
        return attempt()

    return isolating(attempt, again)


def database_is_away(error: Exception) -> bool:
    """Return whether an error is about the connection, and not about a statement or its rows."""
    if isinstance(error, (OperationalError, InterfaceError)):
        return True
    # PostgreSQL ends a transaction that was idle for too long with an error of another class than
    # those of other broken connections.
    return getattr(error.__cause__, "sqlstate", None) in POSTGRESQL_IDLE_TIMEOUTS


def past_deadlocks(step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return the result of ``step``. Call it again after a deadlock, up to five times.

    Raises:
        OperationalError: each call ended in a deadlock.
    """
    # InnoDB ends one of two transactions that wait for each other, and expects a retry.
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
