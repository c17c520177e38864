"""The async versions of methods (``arun_now`` of ``run_now``), and managers that have them.

Write them side by side: ``arun_now = twin(run_now)``. The twin has the same parameters, and calls
the method in the thread in which Django runs database code for async callers.
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
    method = cast("Any", verb)  # in the body of a class, it is a classmethod object
    return cast("ClassTwin[P, T]", classmethod(_twin(method.__func__)))


def _twin(verb: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    name = verb.__name__

    @wraps(verb)
    async def atwin(owner: Any, *args: Any, **kwargs: Any) -> Any:
        # By its name, since a subclass may override the method.
        return await sync_to_async(getattr(owner, name))(*args, **kwargs)

    atwin.__name__ = f"a{name}"
    atwin.__qualname__ = verb.__qualname__.removesuffix(name) + atwin.__name__
    atwin.__doc__ = f"Async version of `{name}`."
    return atwin


def manager_from(query_set: type[models.QuerySet[Any]]) -> Any:
    """Return a manager class with the methods of a query set, such as ``TaskManager``."""
    # With this name and module, the plugin of django-stubs finds the class that the module defines
    # under TYPE_CHECKING. Otherwise, it makes one up that lacks methods such as twins, which are
    # not written as functions.
    name = query_set.__name__.replace("QuerySet", "Manager")
    made: tuple[Any] = (models.Manager.from_queryset(query_set),)
    return type(name, made, {"__module__": query_set.__module__})
