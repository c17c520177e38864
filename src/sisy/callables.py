"""What a task calls: from a callable to its dotted path, and back."""

import difflib
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import models

from sisy.exceptions import CallableError, TargetMissing

PATH_LIMIT = 500
PK_LIMIT = 255

Function = Callable[[dict[str, Any]], object]


class Kind(StrEnum):
    """The kinds of callable that a worker can call."""

    FUNCTION = "function"
    CLASSMETHOD = "classmethod"
    STATICMETHOD = "staticmethod"
    INSTANCEMETHOD = "instancemethod"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a task calls, as the database keeps it.

    Attributes:
        path: ``package.module.function`` or ``package.module.Class.method``.
        pk: for the method of a model instance, its primary key as the field serialises it.
    """

    path: str
    pk: str | None = None

    def resolve(self) -> Function:
        """Return the callable; fetches the object of an instance method from the database.

        Raises:
            TargetMissing: the module, the name or the object is gone.
            CallableError: what the path names now cannot be called by a worker.
        """
        found = _find(self.path)
        kind = self._checked(found)
        if kind != Kind.INSTANCEMETHOD:
            return found.value  # type: ignore[no-any-return]
        model = _model_of(found)
        try:
            instance = model._base_manager.get(pk=_primary_key(model, self.pk))
        except ObjectDoesNotExist:
            raise TargetMissing(
                f"{self.path} is a method of the {model._meta.label} with primary key "
                f"{self.pk!r}, which no longer exists. Delete the task, or give it another target."
            ) from None
        return getattr(instance, found.name)  # type: ignore[no-any-return]

    def check(self) -> None:
        """Check as `resolve` does, without asking the database.

        Raises:
            TargetMissing: the module or the name is gone.
            CallableError: what the path names cannot be called by a worker.
        """
        self._checked(_find(self.path))

    def info(self) -> dict[str, Any]:
        """Return the parts of the target as a dict.

        Raises:
            TargetMissing: the module or the name is gone.
        """
        found = _find(self.path)
        module, qualname = found.module.__name__, self.path[len(found.module.__name__) + 1 :]
        class_name = qualname.rpartition(".")[0]
        return {
            "func_type": str(self._checked(found)),
            "module_name": module,
            "class_name": class_name or None,
            "class_path": f"{module}.{class_name}" if class_name else None,
            "model_pk": self.pk,
            "func_name": found.name,
            "func_path": self.path,
        }

    def _checked(self, found: "_Found") -> Kind:
        kind = _kind(found, self.path)
        if kind == Kind.INSTANCEMETHOD:
            if self.pk is None:
                raise CallableError(
                    f"{self.path} is a method of instances. Give the saved object's own method, "
                    "or, with the path, the object's primary key as pk_override."
                )
            _primary_key(_model_of(found), self.pk)
        elif self.pk is not None:
            raise CallableError(
                f"pk_override was given, but {self.path} is a {kind}, not the method of an "
                "instance. Leave pk_override out."
            )
        _check_parameters(found, kind, self.path)
        return kind


def kind_at(path: str) -> Kind:
    """Return what kind of callable a path names; for instance methods of any object.

    Raises:
        TargetMissing: the module or the name is gone.
        CallableError: what the path names cannot be called by a worker.
    """
    _check_form(path)
    found = _find(path)
    kind = _kind(found, path)
    _check_parameters(found, kind, path)
    return kind


def target_of(target: Function | str, pk: object = None) -> Target:
    """Return what to store for a callable or its dotted path.

    Args:
        target: a function, class method, static method, method of a saved model instance, or
            the dotted path of one.
        pk: with the path of an instance method, the primary key of the object.

    Raises:
        CallableError: a worker could not call it; the message names the cure.
    """
    if isinstance(target, str):
        return _target_at(target, pk)
    if pk is not None:
        raise CallableError(
            "pk_override goes with a dotted path; a callable that is given as an object brings "
            "its own. Leave pk_override out."
        )
    found = _target_from(target)
    found.check()
    if _underlying(_find(found.path).value) is not _underlying(target):
        raise CallableError(
            f"{found.path} is not the callable that was given: a worker would call another one. "
            "Give the callable under the name by which its module knows it."
        )
    return found


def _target_at(path: str, pk: object) -> Target:
    _check_form(path)
    text = None
    if pk is not None:
        found = _find(path)
        text = str(pk)
        if _kind(found, path) == Kind.INSTANCEMETHOD:
            model = _model_of(found)
            text = _serialised(model, _primary_key(model, text))
    target = Target(path=path, pk=text)
    target.check()
    return target


def _check_form(path: str) -> None:
    if not all(part.isidentifier() for part in path.split(".")) or "." not in path:
        raise CallableError(
            f"{path!r:.100} is no dotted path. Write it as package.module.function "
            "or package.module.Class.method."
        )
    if len(path) > PATH_LIMIT:
        raise CallableError(f"A path has up to {PATH_LIMIT} characters, not {len(path)}.")


def _target_from(target: Any) -> Target:
    if isinstance(target, MethodType) and not isinstance(target.__self__, type):
        instance = target.__self__
        if not isinstance(instance, models.Model):
            raise CallableError(
                f"{target.__qualname__} is a method of a {type(instance).__name__}, which is no "
                "Django model: a worker could not find the object again. Use a method of a saved "
                "model instance, a class method, or a function."
            )
        if instance._state.adding or instance.pk is None:
            raise CallableError(
                f"{target.__qualname__} is a method of an unsaved {type(instance).__name__}. "
                "Save the object first, so that a worker can find it."
            )
        model = type(instance)
        path = f"{model.__module__}.{model.__qualname__}.{target.__name__}"
        return Target(path=path, pk=_serialised(model, instance.pk))
    if isinstance(target, MethodType):
        owner: Any = target.__self__
        return _target_named(owner.__module__, f"{owner.__qualname__}.{target.__name__}")
    if not isinstance(target, FunctionType):
        raise CallableError(_refusal(target))
    if target.__name__ == "<lambda>":
        raise CallableError("A lambda has no name to find it by. Write it as a function.")
    return _target_named(target.__module__, target.__qualname__)


def _target_named(module: str, qualname: str) -> Target:
    if "<locals>" in qualname:
        raise CallableError(
            f"{qualname} is defined inside a function, where a worker cannot find it. "
            "Move it to the top of its module."
        )
    if module == "__main__":
        raise CallableError(
            f"{qualname} is defined in the main script, which a worker does not run. "
            "Move it into a module that can be imported."
        )
    return Target(path=f"{module}.{qualname}")


def _refusal(value: object) -> str:
    if isinstance(value, ModuleType):
        return f"{value.__name__} is a module. Give a function in it."
    if isinstance(value, type):
        return f"{value.__qualname__} is a class. Give one of its class or static methods."
    if isinstance(value, partial):
        return (
            "A functools.partial has no name to find it by. Write a function, and put what it "
            "binds into userdata."
        )
    return (
        f"{value!r:.100} is a {type(value).__name__}. Give a function, a class method, a static "
        "method, the method of a saved model instance, or the dotted path of one."
    )


@dataclass(frozen=True, slots=True)
class _Found:
    """What a path leads to: ``owner`` is the module or the class that has it under ``name``."""

    module: ModuleType
    owner: Any
    name: str
    value: Any


def _find(path: str) -> _Found:
    module, names = _import_longest(path)
    owner: Any = None
    value: Any = module
    for name in names:
        owner = value
        try:
            value = getattr(owner, name)
        except AttributeError:
            near = difflib.get_close_matches(name, dir(owner), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TargetMissing(
                f"{path} leads nowhere: {_name_of(owner)} has no {name!r}.{hint}"
            ) from None
    if owner is None:
        raise CallableError(_refusal(module))
    return _Found(module, owner, names[-1], value)


def _import_longest(path: str) -> tuple[ModuleType, list[str]]:
    """Import the longest part of ``path`` that is a module; return it and the names after it."""
    names = path.split(".")
    module = None
    for length in range(1, len(names) + 1):
        module_path = ".".join(names[:length])
        try:
            module = importlib.import_module(module_path)
        except Exception as error:
            if not isinstance(error, ModuleNotFoundError) or error.name != module_path:
                raise TargetMissing(
                    f"{path} cannot be imported: {module_path} {_trouble(error)}."
                ) from error
            if module is None:
                raise TargetMissing(
                    f"{path} leads nowhere: there is no module {module_path!r}."
                ) from None
            return module, names[length - 1 :]
    assert module is not None
    return module, []


def _trouble(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"needs {error.name!r}, which is not installed"
    return f"raises {type(error).__name__}: {error}"


def _name_of(owner: Any) -> str:
    if isinstance(owner, ModuleType):
        return f"the module {owner.__name__}"
    return getattr(owner, "__qualname__", repr(owner))


def _kind(found: _Found, path: str) -> Kind:
    value = found.value
    if isinstance(value, MethodType):
        return Kind.CLASSMETHOD
    if not isinstance(value, FunctionType):
        raise CallableError(_refusal(value))
    if not isinstance(found.owner, type):
        return Kind.FUNCTION
    if isinstance(inspect.getattr_static(found.owner, found.name), staticmethod):
        return Kind.STATICMETHOD
    if not issubclass(found.owner, models.Model):
        raise CallableError(
            f"{path} is a method of {found.owner.__qualname__}, which is no Django model: a "
            "worker could not find the object. Make it a class or static method."
        )
    return Kind.INSTANCEMETHOD


def _model_of(found: _Found) -> type[models.Model]:
    model: type[models.Model] = found.owner
    if model._meta.abstract:
        raise CallableError(
            f"{model._meta.label} is abstract and has no objects. Name a model that inherits it."
        )
    return model


def _primary_key(model: type[models.Model], text: str | None) -> Any:
    field = model._meta.pk
    if field is None or getattr(model._meta, "pk_fields", [field]) != [field]:
        raise CallableError(
            f"{model._meta.label} has a composite primary key, which Sisy cannot store. "
            "Use a function that looks the object up."
        )
    while field.remote_field is not None:  # the parent link of an inherited model
        field = field.target_field  # type: ignore[attr-defined]
    try:
        return field.to_python(text)
    except ValidationError as error:
        raise CallableError(
            f"{text!r} is no primary key of {model._meta.label}: {' '.join(error.messages)}"
        ) from None


def _serialised(model: type[models.Model], pk: Any) -> str:
    field = model._meta.pk
    assert field is not None
    text = field.value_to_string(model(**{field.attname: pk}))
    if len(text) > PK_LIMIT:
        raise CallableError(
            f"The primary key of {model._meta.label} has {len(text)} characters; Sisy keeps up "
            f"to {PK_LIMIT}. Use a function that looks the object up."
        )
    return text


def _check_parameters(found: _Found, kind: Kind, path: str) -> None:
    parameters = list(inspect.signature(found.value).parameters.values())
    if kind == Kind.INSTANCEMETHOD:
        parameters = parameters[1:]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if [p.name for p in parameters] != ["message"] or parameters[0].kind not in kinds:
        came = ", ".join(map(str, parameters)) or "none"
        raise CallableError(
            f"{path} must take exactly one parameter, named message; it takes: {came}."
        )


def _underlying(value: Any) -> Any:
    return getattr(value, "__func__", value)
