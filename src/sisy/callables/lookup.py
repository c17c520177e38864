"""Find the callable that a dotted path names, and its kind."""

import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from types import FunctionType, MethodType, ModuleType
from typing import Any, Protocol, TypeGuard

from django.db import models

from sisy.callables.rejections import (
    explaining,
    rejection_of,
    rejection_of_parameters,
    trouble_of,
)
from sisy.exceptions import CallableError, TargetMissing, did_you_mean

PATH_LIMIT = 500
TASK_PACKAGES = ("django.tasks.", "django_tasks.")

Function = Callable[[dict[str, Any]], object]


class DjangoTask(Protocol):
    """A task of ``django.tasks``, or of its backport ``django-tasks``."""

    @property
    def func(self) -> Callable[..., Any]: ...

    @property
    def takes_context(self) -> bool: ...


Callee = Callable[..., object] | DjangoTask | str
"""A possible target: a function or method, a ``django.tasks`` task, or a dotted path."""


class Kind(StrEnum):
    """The kinds of callable that a worker can call."""

    FUNCTION = "function"
    CLASSMETHOD = "classmethod"
    STATICMETHOD = "staticmethod"
    INSTANCEMETHOD = "instancemethod"
    TASK = "task"
    """A task of ``django.tasks``, whose function may take any arguments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The object that a path names: ``value``, the attribute ``name`` of its ``owner``."""

    path: str
    module: ModuleType
    owner: Any
    name: str
    value: Any

    def kind(self) -> Kind:
        """Return the kind of callable.

        Raises:
            CallableError: a worker cannot call it.
        """
        # A shortcut: most targets are plain functions, whose attributes raise nothing.
        if type(self.value) is FunctionType and type(self.owner) is ModuleType:
            return Kind.FUNCTION
        with explaining(self.path):
            return self._kind()

    def _kind(self) -> Kind:
        if is_task_of_django(self.value):
            return Kind.TASK
        if isinstance(self.value, MethodType):
            if not isinstance(self.value.__func__, FunctionType):
                raise CallableError(rejection_of(self.value.__func__))
            return Kind.CLASSMETHOD
        if not isinstance(self.value, FunctionType):
            raise CallableError(rejection_of(self.value))
        if not isinstance(self.owner, type):
            return Kind.FUNCTION
        if isinstance(inspect.getattr_static(self.owner, self.name), staticmethod):
            return Kind.STATICMETHOD
        if not issubclass(self.owner, models.Model):
            raise CallableError(
                f"{self.path} is a method of {self.owner.__qualname__}, which is not a Django "
                "model, so a worker could not find the object. Make it a class or static method."
            )
        return Kind.INSTANCEMETHOD

    def model(self) -> type[models.Model]:
        """Return the model whose instances have the method.

        Raises:
            CallableError: the model is abstract.
        """
        model: type[models.Model] = self.owner
        if model._meta.abstract:
            raise CallableError(
                f"{model._meta.label} is abstract and has no instances. Name a model that "
                "inherits from it."
            )
        return model

    def check_parameters(self) -> None:
        """Check that the function takes one parameter named ``message``.

        Raises:
            CallableError: it takes other parameters, or is a generator function.
        """
        kind = self.kind()
        if kind == Kind.TASK:
            return
        with explaining(self.path):
            # Development servers replace the code of a function in place.
            code = getattr(self.value, "__code__", None)
            if refusal := _refusal_of(self.path, self.value, code, kind == Kind.INSTANCEMETHOD):
                raise CallableError(refusal)

    def task(self) -> Any:
        """Return the value if it is a task of ``django.tasks``.

        Raises:
            CallableError: it is not.
        """
        if not is_task_of_django(self.value):
            raise CallableError(
                f"{self.path} is not a django.tasks task. Workers look up a task under its "
                "function's name, so the task must be bound to that name: decorate the function "
                f"with @task, or assign the task to {self.path.rpartition('.')[2]!r}."
            )
        return self.value


def is_task_of_django(value: object) -> TypeGuard[DjangoTask]:
    """Return whether a value is a task of ``django.tasks`` or its backport ``django-tasks``."""
    if type(value) is FunctionType:
        return False
    for cls in type(value).__mro__:
        if cls.__name__ == "Task" and cls.__module__.startswith(TASK_PACKAGES):
            return True
    return False


def find(path: str) -> Found:
    """Import the object that a path names.

    Raises:
        TargetMissing: the module or the name does not exist, or the import fails.
        CallableError: the text is not a dotted path, or names a module.
    """
    with explaining(path, TargetMissing):
        module_path, names = _divided(path)
        module = sys.modules.get(module_path)
        # The module was unloaded since its path was cached, and may be gone.
        if module is None:
            module, names = _import_longest(path)
        owner: Any = None
        value: Any = module
        for name in names:
            owner = value
            try:
                value = getattr(owner, name)
            except AttributeError:
                hint = did_you_mean(name, dir(owner))
                raise TargetMissing(
                    f"{path} does not exist: {_name_of(owner)} has no {name!r}.{hint}"
                ) from None
        if owner is None:
            raise CallableError(rejection_of(module))
        return Found(path=path, module=module, owner=owner, name=names[-1], value=value)


# Cached, because a search for a module that does not exist takes longer than a short run.
@lru_cache(maxsize=1024)
def _divided(path: str) -> tuple[str, Sequence[str]]:
    """Return the longest prefix of ``path`` that is a module, and the names after it."""
    _check_form(path)
    _, names = _import_longest(path)
    parts = path.split(".")
    return ".".join(parts[: len(parts) - len(names)]), tuple(names)


@lru_cache(maxsize=1024)
def _refusal_of(path: str, function: Any, code: object, has_self: bool) -> str:
    """Return why a function cannot be the target of a task; an empty text if it can."""
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return (
            f"{path} is a generator function, so calling it does nothing. "
            "Write a function that does its work and returns."
        )
    parameters = list(inspect.signature(function).parameters.values())[has_self:]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if [p.name for p in parameters] != ["message"] or parameters[0].kind not in kinds:
        return rejection_of_parameters(path, parameters)
    return ""


def _import_longest(path: str) -> tuple[ModuleType, Sequence[str]]:
    """Import the longest prefix of ``path`` that is a module. Return it and the names after it."""
    names = path.split(".")
    module = None
    for length in range(1, len(names) + 1):
        module_path = ".".join(names[:length])
        try:
            module = importlib.import_module(module_path)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a module may call sys.exit()
            if not isinstance(error, ModuleNotFoundError) or error.name != module_path:
                raise TargetMissing(
                    f"Cannot import {path}: {module_path} {trouble_of(error)}."
                ) from error
            if module is None:
                raise TargetMissing(
                    f"{path} does not exist: there is no module {module_path!r}."
                ) from None
            return module, names[length - 1 :]
    assert module is not None
    return module, []


def _name_of(owner: Any) -> str:
    if isinstance(owner, ModuleType):
        return f"the module {owner.__name__}"
    return getattr(owner, "__qualname__", repr(owner))


def _check_form(path: str) -> None:
    if not all(part.isidentifier() for part in path.split(".")) or "." not in path:
        raise CallableError(
            f"{path!r:.100} is not a dotted path. Write it as package.module.function or "
            "package.module.Class.method."
        )
    if len(path) > PATH_LIMIT:
        raise CallableError(
            f"{path!r:.100} has {len(path)} characters, but a path has at most {PATH_LIMIT}."
        )
