"""Each kind of value that a worker cannot call has a message of its own."""

import asyncio
import sys
import types

import pytest

from sisy.callables import target_of
from sisy.exceptions import CallableError

NAME = "cached_and_wrapped_jobs"
SOURCE = """
from functools import cache, lru_cache, partialmethod, singledispatch, wraps
from asgiref.sync import async_to_sync, sync_to_async

@lru_cache
def remembered(message): ...

@cache
def kept(message): ...

@sync_to_async
def threaded(message): ...

@async_to_sync
async def blocking(message): ...

def keyword_only(*, message): ...

async def waits(message): ...

class Clerk:
    @classmethod
    @lru_cache
    def remembered(cls, message): ...

    @staticmethod
    @sync_to_async
    def threaded(message): ...

    greet = partialmethod(print, "hello")

class Greeter:
    def __call__(self, message): ...

greet = Greeter()
number = 7
nothing = None
"""


@pytest.fixture
def jobs(monkeypatch):
    module = types.ModuleType(NAME)
    exec(SOURCE, module.__dict__)
    monkeypatch.setitem(sys.modules, NAME, module)
    return module


def rejection_of(target):
    with pytest.raises(CallableError) as rejection:
        target_of(target)
    return str(rejection.value)


CACHED = (
    "{} is wrapped by functools.cache or lru_cache, which cannot cache a message. "
    "Remove the decorator, and cache in a function that it calls."
)
THREADED = (
    "{} is wrapped by sync_to_async. Remove the decorator: "
    "a worker calls plain functions in threads."
)
GENERAL = (
    " Pass a function, a class method, a static method, a method of a saved model instance, or "
    "the dotted path of one of these."
)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("remembered", CACHED.format("remembered")),
        ("kept", CACHED.format("kept")),
        ("Clerk.remembered", CACHED.format("Clerk.remembered")),
        ("threaded", THREADED.format("threaded")),
        ("Clerk.threaded", THREADED.format("Clerk.threaded")),
        (
            "blocking",
            "blocking is wrapped by async_to_sync. Remove the decorator: "
            "a worker awaits async functions.",
        ),
        (
            "keyword_only",
            f"{NAME}.keyword_only takes message as a keyword-only argument, but a worker passes "
            "it by position. Remove the '*' before it.",
        ),
        (
            "greet",
            "A worker cannot find a Greeter object by name. Define a function that calls it.",
        ),
        ("number", "7 is of type int." + GENERAL),
        ("nothing", "None is not a function. Pass the function itself, without parentheses."),
    ],
)
def test_uncallable_targets_are_rejected_by_object_and_by_path(jobs, name, message):
    value = jobs
    for part in name.split("."):
        value = getattr(value, part)
    assert rejection_of(value) == message
    assert rejection_of(f"{NAME}.{name}") == message


@pytest.mark.parametrize(
    ("builtin", "name"), [(print, "print"), (str.upper, "str.upper"), ([].append, "list.append")]
)
def test_builtins_are_rejected(builtin, name):
    assert rejection_of(builtin) == (
        f"{name} is built into Python and has no parameter named message. Define a function that "
        "calls it."
    )


def test_a_coroutine_is_rejected(jobs):
    called = jobs.waits({})
    try:
        assert rejection_of(called) == (
            "waits was already called. Pass the function itself, without parentheses."
        )
    finally:
        called.close()
    assert asyncio.iscoroutinefunction(jobs.waits)
