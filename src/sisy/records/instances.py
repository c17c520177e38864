"""Create, read and copy records much faster than ``Model.__init__`` and ``copy.copy``."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from django.db import models
from django.db.models.base import ModelState
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import ModelSignal, post_init, pre_init

from sisy.runtime.compat import property_names

M = TypeVar("M", bound=models.Model)


def unsaved(model: type[M], values: Mapping[str, Any]) -> M:
    """Return ``model(**values)``."""
    # Django collects the fields and their defaults for each record; this does so once per model.
    known = _Defaults.of(model)
    if is_watched(model) or not values.keys() <= known.names:
        return model(**values)
    record = model.__new__(model)
    held = record.__dict__
    held["_state"] = ModelState()
    known.put_into(held)
    for name, value in values.items():
        if name in known.plain:
            held[name] = value
        else:
            setattr(record, name, value)
    return record


def another(record: M, columns: Mapping[str, Any]) -> M:
    """Return an unsaved record that differs from an unsaved one only in plain columns.

    Args:
        columns: their values. Both records share all others.
    """
    model, held = type(record), record.__dict__
    if is_watched(model):
        own = {field.attname: held[field.attname] for field in model._meta.concrete_fields}
        copy = model(**{**own, **columns})
    else:
        copy = model.__new__(model)
        copy.__dict__ = {**held, "_state": ModelState(), **columns}
    copy._state.fields_cache = record._state.fields_cache.copy()
    return copy


def read(
    model: type[M], using: str, names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> list[M]:
    """Return the records whose columns have these values, as ``Model.from_db`` does.

    Args:
        names: the columns. The record reads all others when they are first used.
    """
    if is_watched(model):
        return [model.from_db(using, names, row) for row in rows]
    records = []
    for row in rows:
        record = model.__new__(model)
        state = ModelState()
        state.adding, state.db = False, using
        record.__dict__ = held = dict(zip(names, row, strict=True))
        held["_state"] = state
        records.append(record)
    for record in records:
        if isinstance(record, RememberingModel):
            record.remember_read()
    return records


class RememberingModel(models.Model):
    """A model whose records note that they were read from the database."""

    class Meta:
        abstract = True

    def remember_read(self) -> None:
        """Record that all columns that the record has were read just now."""
        raise NotImplementedError


def copied(record: M) -> M:
    """Return a shallow copy, as ``copy.copy`` does."""
    # That function goes through the pickle protocol.
    copy = record.__class__.__new__(record.__class__)
    state = ModelState()
    state.__dict__.update(record._state.__dict__)
    state.fields_cache = record._state.fields_cache.copy()
    copy.__dict__ = {**record.__dict__, "_state": state}
    return copy


def has_receivers(model: type[models.Model], *signals_of_records: ModelSignal) -> bool:
    """Return whether one of these signals has a receiver for records of a model."""
    for signal in signals_of_records:  # noqa: SIM110 - a generator would take twice as long
        # Most signals have no receivers at all, which is quicker to check.
        if signal.receivers and signal.has_listeners(model):
            return True
    return False


def is_watched(model: type[models.Model]) -> bool:
    """Return whether a receiver, or the model's own ``__init__``, must see each new record."""
    return has_receivers(model, pre_init, post_init) or _Defaults.of(model).has_own_init


def note_saved(using: str, records: Sequence[models.Model]) -> None:
    """Tell records that they are stored in a database now."""
    for record in records:
        record._state.adding, record._state.db = False, using


def set_key(record: models.Model, key: Any) -> None:
    """Set the primary key of a record whose model has no parent, faster than by ``pk``."""
    record.__dict__[record._meta.pk.attname] = key


def loaded(record: models.Model, name: str) -> Any:
    """Return the object of a foreign key if it is loaded; never query the database for it."""
    return record._state.fields_cache.get(name)


def refer(record: models.Model, name: str, other: models.Model) -> None:
    """Set a foreign key to ``other`` and its current key, faster than by assignment."""
    record.__dict__[f"{name}_id"] = other.pk
    record._state.fields_cache[name] = other


def refer_to_none(record: models.Model, name: str) -> None:
    """Record that the row of a foreign key is gone. Its key stays, unlike after assigning None."""
    record._state.fields_cache[name] = None


def reset(record: models.Model, names: frozenset[str]) -> None:
    """Reset the named fields of a record to their defaults."""
    _Defaults.of(type(record), names).put_into(record.__dict__)


@dataclass(frozen=True, slots=True)
class _Defaults:
    """The initial values of a model's fields.

    Attributes:
        names: the names of fields and properties that can be set.
        plain: the names of plain columns, whose assignment has no other effect.
        fixed: the defaults that are always the same.
        computed: the names of the others, each with the function that computes it.
        has_own_init: whether the model has an ``__init__`` of its own.
    """

    names: frozenset[str]
    plain: frozenset[str]
    fixed: dict[str, Any]
    computed: tuple[tuple[str, Callable[[], Any]], ...]
    has_own_init: bool

    @staticmethod
    @cache
    def of(model: type[models.Model], among: frozenset[str] | None = None) -> "_Defaults":
        every = model._meta.concrete_fields
        fields = [field for field in every if among is None or field.name in among]
        # Without a default, `default` is a class (NOT_PROVIDED), which is callable as well.
        computed = [field for field in fields if field.has_default() and callable(field.default)]
        return _Defaults(
            names=frozenset(
                name
                for field in fields
                for name in (field.name, field.attname, *property_names(model))
            ),
            plain=frozenset(
                field.attname
                for field in fields
                if type(inspect.getattr_static(model, field.attname)) is DeferredAttribute
            ),
            fixed={
                field.attname: field.get_default() for field in fields if field not in computed
            },
            computed=tuple((field.attname, field.default) for field in computed),
            has_own_init=model.__init__ is not models.Model.__init__,
        )

    def put_into(self, held: dict[str, Any]) -> None:
        held.update(self.fixed)
        for name, compute in self.computed:
            held[name] = compute()
