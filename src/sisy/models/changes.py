"""Knows which columns of a record its owner has changed since it was read."""

import copy
from collections.abc import Collection, Iterable
from functools import cache, partial
from typing import Any, ClassVar, Self

from django.db import models, transaction


def _differ(stored: Any, value: Any) -> bool:
    """Whether a value was changed; in JSON 1, 1.0 and true are three values, in Python one."""
    return bool(stored != value or (isinstance(value, dict) and repr(stored) != repr(value)))


def _copy(value: Any) -> Any:
    """Copy what can be changed in place: among the values of columns, only what JSON holds."""
    return copy.deepcopy(value) if isinstance(value, dict | list) else value


class TracksChanges(models.Model):
    """A model that remembers what the database holds of its ``tracked`` columns.

    What was written, but not committed yet, counts as changed: after a rollback it must be written
    again, and before a commit it may be changed back.
    """

    tracked: ClassVar[frozenset[str]] = frozenset()

    class Meta:
        abstract = True

    @classmethod
    def from_db(
        cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any
    ) -> Self:
        record = super().from_db(db, field_names, values, **kwargs)
        record._remember(record._snapshot(cls.tracked))
        return record

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Iterable[str] | None = None,
        from_queryset: models.QuerySet[Self] | None = None,
    ) -> None:
        super().refresh_from_db(using, fields, from_queryset)
        self._remember(self._snapshot(self.tracked if fields is None else frozenset(fields)))

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
        stored = self.__dict__.get("_stored", {})
        changed = frozenset(
            name
            for name, value in self.__dict__.items()
            if name in self.tracked and (name not in stored or _differ(stored[name], value))
        )
        uncommitted: frozenset[str] = self.__dict__.get("_uncommitted", frozenset())
        return changed | uncommitted

    def remember_once_committed(self, names: frozenset[str], using: str) -> None:
        """Take these columns for stored, as soon as the transaction is committed."""
        self._uncommitted = self.__dict__.get("_uncommitted", frozenset()) | names
        transaction.on_commit(partial(self._remember, self._snapshot(names)), using=using)

    def _snapshot(self, names: Collection[str]) -> dict[str, Any]:
        return {name: _copy(value) for name, value in self.__dict__.items() if name in names}

    def _remember(self, snapshot: dict[str, Any]) -> None:
        self._stored = {**self.__dict__.get("_stored", {}), **snapshot}
        self._uncommitted = self.__dict__.get("_uncommitted", frozenset()) - snapshot.keys()
