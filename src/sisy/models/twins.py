"""The async twins of verbs: ``arun_now`` for ``run_now``, as Django has ``asave`` for ``save``.

A verb and its twin stand side by side: ``arun_now = twin(run_now)``. The twin takes and returns
the same, and calls the verb in the thread in which Django has async code ask the database.
"""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, cast

from asgiref.sync import sync_to_async

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
