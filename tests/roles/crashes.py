"""Let a step of the test's process crash at any of its writes, as if the process were killed."""

import re
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection

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
    """

    def __init__(self, crash_at=None):
        self.count = 0
        self.commits = set()
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
            connection.close()  # without a rollback: the database has to do that
            raise Crash


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
    try:
        with Writes(place).watched():
            step()
    except Crash:
        return
    finally:
        connection.close()
    raise AssertionError(f"The step did not come to {place}")
