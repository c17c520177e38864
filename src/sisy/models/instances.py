"""Makes records that are not saved yet, in a fraction of the time that Django takes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from django.db import models
from django.db.models.base import ModelState
from django.db.models.signals import post_init, pre_init

M = TypeVar("M", bound=models.Model)


def unsaved(model: type[M], values: Mapping[str, Any]) -> M:
    """Return ``model(**values)``.

    Django looks at each field of a record anew. The defaults of a model are the same each time.
    """
    known = _Defaults.of(model)
    is_heard = pre_init.has_listeners(model) or post_init.has_listeners(model)
    if is_heard or known.has_own_init or not values.keys() <= known.names:
        return model(**values)
    record = model.__new__(model)
    held = record.__dict__
    held["_state"] = ModelState()
    held.update(known.fixed)
    for name, compute in known.computed:
        held[name] = compute()
    for name, value in values.items():
        setattr(record, name, value)
    return record


@dataclass(frozen=True, slots=True)
class _Defaults:
    """What the fields of a model hold at first.

    Attributes:
        names: under which values can be given.
        fixed: the defaults that are always the same.
        computed: the others, each with what computes it.
        has_own_init: whether the model makes its records in a way of its own.
    """

    names: frozenset[str]
    fixed: dict[str, Any]
    computed: tuple[tuple[str, Callable[[], Any]], ...]
    has_own_init: bool

    @staticmethod
    @cache
    def of(model: type[models.Model]) -> "_Defaults":
        fields = model._meta.concrete_fields
        computed = [field for field in fields if callable(field.default)]
        return _Defaults(
            names=frozenset(
                name
                for field in fields
                for name in (field.name, field.attname, *model._meta._property_names)  # type: ignore[attr-defined]
            ),
            fixed={
                field.attname: field.get_default() for field in fields if field not in computed
            },
            computed=tuple((field.attname, field.get_default) for field in computed),
            has_own_init=model.__init__ is not models.Model.__init__,
        )
