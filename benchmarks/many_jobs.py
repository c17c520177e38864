"""Many functions that do nothing, so that a worker has as many to find as in a real project."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

if find_spec("django.tasks"):
    from django.tasks import task
else:
    from django_tasks import task

COUNT = 200


def _noop(name: str) -> Callable[[dict[str, Any]], None]:
    def job(message: dict[str, Any]) -> None:
        pass

    job.__name__ = job.__qualname__ = name
    return job


def _noop_with_arguments(name: str) -> Callable[[int, str], None]:
    def job(number: int, customer: str) -> None:
        pass

    job.__name__ = job.__qualname__ = name
    return job


FUNCTIONS = [_noop(f"job_{n}") for n in range(COUNT)]
TASKS = [task(_noop_with_arguments(f"task_{n}")) for n in range(COUNT)]
"""The same for django.tasks, or its backport for Django 5.2."""

# Workers find functions by their names in the module.
globals().update({each.__name__: each for each in FUNCTIONS})
globals().update({each.func.__name__: each for each in TASKS})
