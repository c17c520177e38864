"""Error messages for values that a worker cannot call, each with a fix."""

import inspect
from collections.abc import Sequence
from functools import partial, partialmethod
from types import ModuleType

from asgiref.sync import AsyncToSync, SyncToAsync

from sisy.exceptions import CallableError
from sisy.runtime.user_errors import name_of, words_of


# A class, because a generator with @contextmanager takes three times as long.
class explaining:  # noqa: N801 - named like the context managers of contextlib
    """Turn any error that user code raises while ``path`` is looked up into ``error``."""

    # A proxy object may raise anything for any attribute, even for its class.

    __slots__ = ("_error", "_path")

    def __init__(self, path: str, error: type[CallableError] = CallableError) -> None:
        self._path, self._error = path, error

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, raised: BaseException | None, traceback: object) -> None:
        if raised is not None and not isinstance(raised, KeyboardInterrupt | CallableError):
            trouble = trouble_of(raised)
            raise self._error(f"Cannot look up {self._path}: it {trouble}.") from raised


def trouble_of(error: BaseException) -> str:
    """Return the cause of an error as a verb phrase, such as "raises KeyError: 'x'"."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"needs {error.name!r}, which is not installed"
    words = words_of(error)
    return f"raises {name_of(error)}{words and ': '}{words}"


def rejection_of(value: object) -> str:
    """Return the message for a value that is not a function."""
    name = _name_of(value)
    if isinstance(value, ModuleType):
        return f"{value.__name__} is a module. Pass a function from it."
    if isinstance(value, type):
        return f"{value.__qualname__} is a class. Pass one of its class or static methods."
    if isinstance(value, partial | partialmethod):
        return (
            "A worker cannot find a functools.partial, because it has no name. Define a "
            "function, and pass the bound arguments in userdata."
        )
    if unwrap := _decorated(value):
        return f"{name} is wrapped by {unwrap}"
    if inspect.iscoroutine(value) or inspect.isgenerator(value):
        return f"{name} was already called. Pass the function itself, without parentheses."
    if value is None:
        return "None is not a function. Pass the function itself, without parentheses."
    if inspect.isbuiltin(value) or inspect.isroutine(value):
        return (
            f"{name} is built into Python and has no parameter named message. Define a function "
            "that calls it."
        )
    if callable(value):
        return (
            f"A worker cannot find a {type(value).__name__} object by name. Define a function "
            "that calls it."
        )
    return (
        f"{_shown(value)} is of type {type(value).__name__}. Pass a function, a class method, a "
        "static method, a method of a saved model instance, or the dotted path of one of these."
    )


def _decorated(value: object) -> str:
    """Return the name of a known wrapper and the fix; an empty text if there is none."""
    if isinstance(value, SyncToAsync):
        return "sync_to_async. Remove the decorator: a worker calls plain functions in threads."
    if isinstance(value, AsyncToSync):
        return "async_to_sync. Remove the decorator: a worker awaits async functions."
    if hasattr(value, "cache_info") and hasattr(value, "cache_clear"):
        return (
            "functools.cache or lru_cache, which cannot cache a message. "
            "Remove the decorator, and cache in a function that it calls."
        )
    return ""


def rejection_of_parameters(path: str, parameters: Sequence[inspect.Parameter]) -> str:
    """Return the message for a function that takes other parameters than ``message`` alone."""
    first = parameters[0] if len(parameters) == 1 else None
    if first is not None and first.name == "message" and first.kind == first.KEYWORD_ONLY:
        return (
            f"{path} takes message as a keyword-only argument, but a worker passes it by "
            "position. Remove the '*' before it."
        )
    came = ", ".join(map(str, parameters)) or "none"
    return f"{path} must take exactly one parameter, named message, but it takes: {came}."


def _name_of(value: object) -> str:
    for one in (value, getattr(value, "func", None), getattr(value, "awaitable", None)):
        name = getattr(one, "__qualname__", None)
        if isinstance(name, str) and one is not None:
            return name
    return _shown(value)


def _shown(value: object) -> str:
    return f"{value!r:.100}"
