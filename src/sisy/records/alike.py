"""Records that are stored together and differ in one column, such as the runs of a batch."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, overload

from django.db import models

from sisy.records.instances import another, is_watched, note_saved, set_key

M = TypeVar("M", bound=models.Model)


class Alike(Sequence[M]):
    """Unsaved records that differ from an unsaved one only in a plain column.

    All but the first are created when one of them is used. Nothing uses those of most batches.

    Args:
        record: the record that they are copied from.
        name: the name of the column.
        values: the value of the column in each record, at least one.
    """

    def __init__(self, record: M, name: str, values: Sequence[Any]) -> None:
        self.name, self.values = name, values
        self._keys: Sequence[Any] = ()
        self._using = ""
        self._created = [another(record, {name: values[0]})]
        if is_watched(type(record)):
            self._all()

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[M]:
        return iter(self._all())

    @overload
    def __getitem__(self, place: int) -> M: ...
    @overload
    def __getitem__(self, place: slice) -> list[M]: ...
    def __getitem__(self, place: int | slice) -> M | list[M]:
        return self._created[0] if place == 0 else self._all()[place]

    def note_inserted(self, using: str, keys: Sequence[Any]) -> None:
        """Set the keys of the records, which are stored in the database ``using`` now."""
        self._using, self._keys = using, keys
        _note_inserted(using, self._created, keys[: len(self._created)])

    def _all(self) -> list[M]:
        if len(self._created) < len(self):
            first = self._created[0]
            others = [another(first, {self.name: value}) for value in self.values[1:]]
            if self._keys:
                _note_inserted(self._using, others, self._keys[1:])
            self._created += others
        return self._created


def values_of(records: Sequence[models.Model], name: str) -> Sequence[Any]:
    """Return the values of a column in records, or only one if they do not differ in it."""
    if not isinstance(records, Alike):
        return [record.__dict__[name] for record in records]
    return records.values if name == records.name else [records[0].__dict__[name]]


def note_inserted(using: str, records: Sequence[models.Model], keys: Sequence[Any]) -> None:
    """Set the keys of records that were just inserted into the database ``using``."""
    if isinstance(records, Alike):
        records.note_inserted(using, keys)
    else:
        _note_inserted(using, records, keys)


def _note_inserted(using: str, records: Sequence[models.Model], keys: Sequence[Any]) -> None:
    for record, key in zip(records, keys, strict=True):
        set_key(record, key)
    note_saved(using, records)
