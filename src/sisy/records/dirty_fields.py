"""The fields of a record that changed since it was read.

``save()`` writes only the columns that changed in memory, so that it does not undo what others
have written. For this, a record remembers what the database holds:

- `_stored` has the committed values, as they were read or written.
- `_pending` has a `Write` and its values for each write in an open transaction. They
  count as stored immediately: a second ``save()`` in the transaction must not write them again.

If the transaction, or a savepoint in it, is rolled back, the values count as changed again. Django
sends no signal for a rollback. But it forgets the callbacks of ``transaction.on_commit`` that were
registered in what was rolled back. So each write registers a callback, and is valid as long as
Django still has it, or has called it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any, ClassVar, Self
from weakref import ref

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from sisy.records import nested
from sisy.records.instances import RememberingModel, copied

_NO_COLUMNS = ("_state", "_stored", "_pending", "_insertion")


class Write:
    """A write over a connection that the calling thread has just made."""

    __slots__ = ("_connection", "_place", "is_committed")

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.is_committed = connection.autocommit
        self._connection: Callable[[], BaseDatabaseWrapper | None] = ref(connection)
        self._place = len(connection.run_on_commit)
        if not self.is_committed:
            connection.on_commit(self._note_commit, robust=True)

    def _note_commit(self) -> None:
        self.is_committed = True

    def is_valid(self) -> bool:
        """Return False if the write was rolled back, or if that is unknown; see `is_in_doubt`."""
        connection = self._connection()
        if self.is_committed or connection is None:
            return self.is_committed
        # After a rollback, earlier callbacks are at the same places, or further to the front.
        callbacks = [entry[1] for entry in connection.run_on_commit[: self._place + 1]]
        return self._note_commit in reversed(callbacks)

    def is_in_doubt(self) -> bool:
        """Return whether the write may be committed, although `is_valid` returns False."""
        # Django is calling the callbacks that come before ours, or the thread has ended, or the
        # object was sent to another process.
        connection = self._connection()
        # Django does not document the attribute. Without it, the write is in doubt.
        return getattr(connection, "run_commit_hooks_on_set_autocommit_on", True)

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[[bool], "Write"], tuple[bool]]:
        """Pickle only whether it is committed. Another process cannot see more."""
        return _from_elsewhere, (self.is_committed,)


def _from_elsewhere(is_committed: bool) -> Write:
    write = Write.__new__(Write)
    write.is_committed, write._connection, write._place = is_committed, lambda: None, 0
    return write


def _differ(stored: Any, value: Any) -> bool:
    """Return whether two values of a column differ."""
    return nested.differ(stored, value) if isinstance(value, dict) else bool(stored != value)


def _copy(value: Any) -> Any:
    """Return a copy of a value that can be changed in place, as JSON values can."""
    if not isinstance(value, dict | list):
        return value
    return nested.copied(value) if value else value.copy()


class DirtyFields(RememberingModel):
    """A model that remembers the values of its ``tracked`` columns in the database."""

    tracked: ClassVar[frozenset[str]] = frozenset()
    inserted_at_field: ClassVar[str]
    """The column with the time of the insertion."""

    # Instances assign new values and never change these: copies of a record share them.
    _stored: Mapping[str, Any] = MappingProxyType({})
    _pending: Sequence[tuple[Write, dict[str, Any]]] = ()

    class Meta:
        abstract = True

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any
    ) -> Self:
        record = super().from_db(db, field_names, values, **kwargs)
        record.remember_read()
        return record

    def remember_read(self) -> None:
        """Count the tracked columns as stored with the values that they have now."""
        self._stored = self._columns()

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
            # The values may come from our last write. If that is rolled back, so are they.
            self._pending = [*pending, (pending[-1][0], read)]
        else:
            self._stored = {**self._stored, **read}

    def twin(self) -> Self:
        """Return a copy that shares no value that can be changed in place."""
        twin = copied(self)
        own = {name: _copy(self.__dict__[name]) for name in self._changeable_in_place()}
        vars(twin).update(own)
        return twin

    @classmethod
    @cache
    def _changeable_in_place(cls) -> list[str]:
        """Return the columns whose values can be changed in place."""
        fields = cls._meta.concrete_fields
        return [field.attname for field in fields if isinstance(field, models.JSONField)]

    def changed_columns(self) -> frozenset[str]:
        """Return the tracked columns whose values differ, or may differ, from the database."""
        known = self._known()
        return frozenset(
            name
            for name, value in self.__dict__.items()
            if name in self.tracked and (name not in known or _differ(known[name], value))
        )

    def remember(self, names: frozenset[str], write: Write) -> None:
        """Count these columns as stored by ``write``, unless that is rolled back."""
        self._pending = [*self._pending, (write, self._snapshot(names))]

    def remember_inserted(self, connection: BaseDatabaseWrapper, pk: Any = None) -> None:
        """Count the record as just inserted, unless that is rolled back.

        Args:
            pk: the key that it had before the insertion.
        """
        write = Write(connection)
        self._pending = [*self._pending, (write, self._columns())]
        self.__dict__["_insertion"] = (write, pk)

    def notice_rollback(self, using: str) -> None:
        """Make the record an unsaved one again if its insertion was rolled back."""
        write, pk = self.__dict__.get("_insertion", (None, None))
        if self._state.adding or write is None or write.is_valid():
            return
        # Another record may have the key by now, so the time of the insertion must match, too.
        inserted_at = {self.inserted_at_field: getattr(self, self.inserted_at_field)}
        this = type(self)._base_manager.using(using).filter(pk=self.pk, **inserted_at)
        if write.is_in_doubt() and this.exists():
            return
        self.pk, self._state.adding = pk, True

    def _known(self) -> Mapping[str, Any]:
        """Return the values that a query over our connection would return now."""
        if not self._pending:
            return self._stored
        standing = [one for one in self._pending if one[0].is_valid()]
        while standing and standing[0][0].is_committed:
            self._stored = {**self._stored, **standing.pop(0)[1]}
        self._pending = standing
        known = self._stored
        for _, values in standing:
            known = {**known, **values}
        return known

    def _columns(self) -> dict[str, Any]:
        # All columns, because to pick the tracked ones takes longer than to copy the others.
        columns = self.__dict__.copy()
        for name in _NO_COLUMNS:
            columns.pop(name, None)
        for name in self._changeable_in_place():
            if name in columns:
                columns[name] = _copy(columns[name])
        return columns

    def _snapshot(self, names: Collection[str]) -> dict[str, Any]:
        held = self.__dict__
        snapshot = {name: held[name] for name in names if name in held}
        for name in self._changeable_in_place():
            if name in snapshot:
                snapshot[name] = _copy(snapshot[name])
        return snapshot
