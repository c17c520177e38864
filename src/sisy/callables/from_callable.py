"""Convert a callable or its dotted path to the target that is stored."""

from types import FunctionType, MethodType
from typing import Any

from django.db import models

from sisy.callables.keys import check_home, primary_key, serialised
from sisy.callables.lookup import Callee, Kind, find, is_task_of_django
from sisy.callables.rejections import explaining, rejection_of
from sisy.callables.target import Known, Target
from sisy.exceptions import CallableError


def target_of(target: Callee, pk: object = None) -> Target:
    """Return the target for a callable or its dotted path.

    Args:
        target: a function, class method, static method, method of a saved model instance, or
            the dotted path of one.
        pk: with the path of an instance method, the primary key of the object.

    Raises:
        CallableError: a worker could not call it. The message says how to fix that.
    """
    if isinstance(target, str):
        return _target_at(target, pk)
    if pk is not None:
        raise CallableError(
            "pk_override is only for dotted paths. Remove it: a bound method already has its "
            "object."
        )
    # A shortcut: most targets were submitted before.
    function = target.func if is_task_of_django(target) else target
    if type(function) is FunctionType:
        known = Known.at(f"{function.__module__}.{function.__qualname__}")
        if known is not None and (known.value is target or _underlying(known.value) is function):
            return known.target
    found = _target_from(target)
    if _underlying(found.check()) is not _underlying(target):
        raise CallableError(
            f"A worker would call {found.path}, which is not the function that "
            f"you passed. Pass {found.path} itself, or give your function its own name in its "
            "module."
        )
    return found


def _target_at(path: str, pk: object) -> Target:
    text = None
    if pk is not None:
        found = find(path)
        with explaining(path):
            text = str(pk)
            if found.kind() == Kind.INSTANCEMETHOD:
                model = found.model()
                text = serialised(model, primary_key(model, text))
    target = Target(path=path, pk=text)
    target.check()
    return target


def _target_from(target: Any) -> Target:
    if isinstance(target, MethodType) and not isinstance(target.__self__, type):
        instance = target.__self__
        if not isinstance(instance, models.Model):
            raise CallableError(
                f"{target.__qualname__} is a method of {type(instance).__name__}, which is not a "
                "Django model, so a worker could not find the object again. Use a method of a "
                "saved model instance, a class method, or a function."
            )
        if instance._state.adding or instance.pk is None:
            raise CallableError(
                f"{target.__qualname__} is a method of an unsaved {type(instance).__name__}. "
                "Save the object first, so that a worker can find it."
            )
        check_home(instance)
        model = type(instance)
        path = f"{model.__module__}.{model.__qualname__}.{target.__name__}"
        return Target(path=path, pk=serialised(model, instance.pk))
    if isinstance(target, MethodType):
        if not isinstance(target.__func__, FunctionType):
            raise CallableError(rejection_of(target.__func__))
        owner: Any = target.__self__
        return _target_named(owner.__module__, f"{owner.__qualname__}.{target.__name__}")
    if is_task_of_django(target):
        return _target_named(target.func.__module__, target.func.__qualname__)
    if not isinstance(target, FunctionType):
        raise CallableError(rejection_of(target))
    if target.__name__ == "<lambda>":
        raise CallableError(
            "A worker cannot find a lambda, because it has no name. Define a function."
        )
    return _target_named(target.__module__, target.__qualname__)


def _target_named(module: str, qualname: str) -> Target:
    if "<locals>" in qualname:
        raise CallableError(
            f"{qualname} is defined inside a function, where a worker cannot find it. Move it to "
            "the top level of its module."
        )
    if module == "__main__":
        raise CallableError(
            f"{qualname} is defined in the main script, which a worker does not run. Move it to "
            "an importable module."
        )
    return Target(path=f"{module}.{qualname}")


def _underlying(value: Any) -> Any:
    # `Task.using()` returns another task of the same function.
    if is_task_of_django(value):
        return value.func
    return getattr(value, "__func__", value)
