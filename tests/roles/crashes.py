"""Let a step of the test's process crash at any of its writes, as if the process were killed."""

import re
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection

from tests.support.waiting import wait_until

# PostgreSQL ends a session sooner than the next one begins, and SQLite has none.
SESSION = {"mysql": "SELECT CONNECTION_ID()"}
SESSIONS = {"mysql": "SELECT COUNT(*) FROM information_schema.processlist WHERE id = %s"}

WRITE = re.compile(r"(?<!FOR )\b(INSERT|UPDATE|DELETE)\b", re.IGNORECASE)


class Crash(BaseException):
    """The process dies. No error handler catches that."""


@dataclass(slots=True, kw_only=True)
class Place:
    """A moment of a step: after so many of its writes.

    Attributes:
        is_committed: whether their transaction is committed, if no further write is part of it.
    """

    writes: int
    is_committed: bool


class Writes:
    """Counts the statements of a step that write, and lets it crash at a place, if one is given.

    Attributes:
        count: of the statements that were executed.
        commits: after how many of them a transaction was committed.
        session: the key of the database's session that crashed; None if none has.
    """

    def __init__(self, crash_at=None):
        self.count = 0
        self.commits = set()
        self.session = None
        self._crash_at = crash_at

    @contextmanager
    def watched(self):
        commit = connection._commit

        def commit_or_crash():
            self._come_to(Place(writes=self.count, is_committed=False))
            commit()
            self.commits.add(self.count)

        connection._commit = commit_or_crash
        try:
            with connection.execute_wrapper(self._execute):
                yield
        finally:
            del connection._commit

    def _execute(self, execute, sql, params, many, context):
        if WRITE.search(sql):
            self._come_to(Place(writes=self.count, is_committed=True))
            self.count += 1
        return execute(sql, params, many, context)

    def _come_to(self, place):
        if place == self._crash_at:
            self.session = _asked(SESSION)
            connection.close()  # without a rollback: the database has to do that
            raise Crash


def _asked(statements, *params):
    """Return the value that a statement returns; None on other databases."""
    if connection.vendor not in statements:
        return None
    with connection.cursor() as cursor:
        cursor.execute(statements[connection.vendor], params)
        return cursor.fetchone()[0]


def places_of(step):
    """Carry out a step, and return all places at which it can crash."""
    writes = Writes()
    with writes.watched():
        step()
    before = [Place(writes=number, is_committed=True) for number in range(writes.count)]
    # Without any write, there is nothing to lose.
    uncommitted = sorted(writes.commits - {0})
    return before + [Place(writes=number, is_committed=False) for number in uncommitted]


def crash(step, place):
    """Let a step crash at a place.

    Raises:
        AssertionError: it did not come there.
    """
    writes = Writes(place)
    try:
        with writes.watched():
            step()
    except Crash:
        # Until the server has noticed, the session may still hold its locks.
        wait_until(lambda: not _asked(SESSIONS, writes.session), "the session has ended")
        return
    finally:
        connection.close()
    raise AssertionError(f"The step did not come to {place}")
