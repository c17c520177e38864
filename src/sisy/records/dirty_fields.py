"""The fields of a record that changed since it was read, and whether their write stands."""

import copy
from collections.abc import Callable, Collection, Iterable
from functools import cache
from typing import Any, ClassVar, Self
from weakref import ref

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from sisy.records import nested


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


def _differ(stored: Any, value: Any) -> bool:
    """Return whether a value was changed; see `nested.differ` for what JSON holds."""
    return nested.differ(stored, value) if isinstance(value, dict) else bool(stored != value)


def _copy(value: Any) -> Any:
    """Copy what can be changed in place: among the values of columns, only what JSON holds."""
    return nested.copied(value) if isinstance(value, dict | list) else value


class DirtyFields(models.Model):
    """A model that remembers what the database holds of its ``tracked`` columns.

    What was written in a transaction counts as stored at once: a second ``save()`` must not undo
    what others have written since. After a rollback, of the transaction or of a savepoint, it
    counts as changed again.
    """

    tracked: ClassVar[frozenset[str]] = frozenset()
    born: ClassVar[str]
    """The column that says when a record was inserted."""

    class Meta:
        abstract = True

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any
    ) -> Self:
        record = super().from_db(db, field_names, values, **kwargs)
        record._stored = record._snapshot(cls.tracked)
        return record

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Self] | None = None,
    ) -> None:
        super().refresh_from_db(using, fields, from_queryset)
        read = self._snapshot(self.tracked if fields is None else frozenset(fields))
        self._known()
        if pending := self._pending:
            # It may have been written by us just now, and is taken back with that.
            self._pending = [*pending, (pending[-1][0], read)]
        else:
            self._stored = {**self._stored, **read}

    def twin(self) -> Self:
        """Return another instance of the same record, as it would be read now: quickly."""
        twin = copy.copy(self)
        own = {name: _copy(self.__dict__[name]) for name in self._changeable_in_place()}
        vars(twin).update(own)
        return twin

    @classmethod
    @cache
    def _changeable_in_place(cls) -> list[str]:
        """Return the columns whose values can be changed without being assigned."""
        fields = cls._meta.concrete_fields
        return [field.attname for field in fields if isinstance(field, models.JSONField)]

    def changed_columns(self) -> frozenset[str]:
        """Return the tracked columns that hold something else than the database, or may do so."""
        known = self._known()
        return frozenset(
            name
            for name, value in self.__dict__.items()
            if name in self.tracked and (name not in known or _differ(known[name], value))
        )

    def remember(self, names: frozenset[str], write: Write) -> None:
        """Take these columns for stored, as long as ``write``, which has stored them, stands."""
        self._pending = [*self._pending, (write, self._snapshot(names))]

    def remember_inserted(self, using: str, pk: Any = None) -> None:
        """Take the record for stored, as long as its insertion, which was made just now, stands.

        Args:
            pk: the key that it had before.
        """
        write = Write(using)
        self.__dict__["_insertion"] = (write, pk)
        self.remember(self.tracked, write)

    def notice_rollback(self, using: str) -> None:
        """Let a record be a new one again if its insertion was rolled back."""
        write, pk = self.__dict__.get("_insertion", (None, None))
        if self._state.adding or write is None or write.stands():
            return
        # By now, another record may have its key.
        this = type(self)._base_manager.using(using).filter(pk=self.pk)
        if write.is_in_doubt() and this.filter(**{self.born: getattr(self, self.born)}).exists():
            return
        self.pk, self._state.adding = pk, True

    @property
    def _stored(self) -> dict[str, Any]:
        """The committed values of the tracked columns, as far as they are known."""
        stored: dict[str, Any] = self.__dict__.get("_stored", {})
        return stored

    @_stored.setter
    def _stored(self, values: dict[str, Any]) -> None:
        self.__dict__["_stored"] = values

    @property
    def _pending(self) -> list[tuple[Write, dict[str, Any]]]:
        """The writes since then, oldest first; copies of a record share the list: replace it."""
        pending: list[tuple[Write, dict[str, Any]]] = self.__dict__.get("_pending", [])
        return pending

    @_pending.setter
    def _pending(self, writes: list[tuple[Write, dict[str, Any]]]) -> None:
        self.__dict__["_pending"] = writes

    def _known(self) -> dict[str, Any]:
        """Return what the database holds for whoever reads it over our connection now."""
        if not self._pending:
            return self._stored
        standing = [one for one in self._pending if one[0].stands()]
        while standing and standing[0][0].is_committed:
            self._stored = {**self._stored, **standing.pop(0)[1]}
        self._pending = standing
        known = self._stored
        for _, values in standing:
            known = {**known, **values}
        return known

    def _snapshot(self, names: Collection[str]) -> dict[str, Any]:
        held = self.__dict__
        snapshot = {name: held[name] for name in names if name in held}
        for name in self._changeable_in_place():
            if name in snapshot:
                snapshot[name] = _copy(snapshot[name])
        return snapshot
