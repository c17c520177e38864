"""The async twins of verbs (``arun_now`` for ``run_now``), and managers that have them.

A verb and its twin stand side by side: ``arun_now = twin(run_now)``. The twin takes and returns
the same, and calls the verb in the thread in which Django has async code ask the database.
"""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast

from asgiref.sync import sync_to_async
from django.db import models

S = TypeVar("S")
P = ParamSpec("P")
T = TypeVar("T")


class ClassTwin(Generic[P, T]):
    """The twin of a class method, as type checkers see it."""

    def __get__(self, instance: object, owner: type[Any]) -> Callable[P, Coroutine[Any, Any, T]]:
        raise NotImplementedError


def twin(
    verb: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Return the async twin of a method."""
    return _twin(verb)


def class_twin(verb: Callable[Concatenate[Any, P], T]) -> ClassTwin[P, T]:
    """Return the async twin of a class method."""
    method = cast("Any", verb)  # within the body of its class, it is no callable yet
    return cast("ClassTwin[P, T]", classmethod(_twin(method.__func__)))


def _twin(verb: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    name = verb.__name__

    @wraps(verb)
    async def atwin(owner: Any, *args: Any, **kwargs: Any) -> Any:
        # By its name: a class that inherits this one may have a verb of its own.
        return await sync_to_async(getattr(owner, name))(*args, **kwargs)

    atwin.__name__ = f"a{name}"
    atwin.__qualname__ = verb.__qualname__.removesuffix(name) + atwin.__name__
    atwin.__doc__ = f"Do what `{name}` does, for async code."
    return atwin


def manager_from(query_set: type[models.QuerySet[Any]]) -> Any:
    """Return the class of managers that Django makes from a query set, such as ``TaskManager``.

    The plugin of django-stubs goes by its name and its module. By those that Django gives it, it
    would not find the class that stands there for checkers of types, but make up one that lacks
    what is not written as a function, such as async twins.
    """
    name = query_set.__name__.replace("QuerySet", "Manager")
    made: tuple[Any] = (models.Manager.from_queryset(query_set),)
    return type(name, made, {"__module__": query_set.__module__})
