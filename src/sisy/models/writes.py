"""Track whether writes in a transaction were committed or rolled back."""

from collections.abc import Callable
from typing import Self
from weakref import ref

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper


class Write:
    """A write over the connection ``using``, made just now in the calling thread.

    Django tells nobody of a rollback. It does forget what was to be called after the commit,
    for a savepoint as for a whole transaction: a write stands as long as Django remembers that.
    """

    __slots__ = ("_connection", "_place", "is_committed")

    def __init__(self, using: str) -> None:
        connection = connections[using]
        self.is_committed = connection.autocommit  # by itself
        self._connection: Callable[[], BaseDatabaseWrapper | None] = ref(connection)
        self._place = len(connection.run_on_commit)
        if not self.is_committed:
            transaction.on_commit(self._note_commit, using=using, robust=True)

    def _note_commit(self) -> None:
        self.is_committed = True

    def stands(self) -> bool:
        """Return whether it is committed, or may still be; see `is_in_doubt`."""
        connection = self._connection()
        if self.is_committed or connection is None:
            return self.is_committed
        # After a rollback, what was to be called before comes as early as then, or earlier.
        callbacks = [entry[1] for entry in connection.run_on_commit[: self._place + 1]]
        return self._note_commit in reversed(callbacks)

    def is_in_doubt(self) -> bool:
        """Return whether a write that does not seem to stand may have been committed all the same.

        Django calls others after the commit before us just now, or nobody can tell any more: the
        thread has ended, or this is another process.
        """
        connection = self._connection()
        # Without that attribute, which Django does not document, who asks has to look.
        return getattr(connection, "run_commit_hooks_on_set_autocommit_on", True)

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[[bool], "Write"], tuple[bool]]:
        """Another process cannot know what becomes of it."""
        return _from_elsewhere, (self.is_committed,)


def _from_elsewhere(is_committed: bool) -> Write:
    write = Write.__new__(Write)
    write.is_committed, write._connection, write._place = is_committed, lambda: None, 0
    return write
