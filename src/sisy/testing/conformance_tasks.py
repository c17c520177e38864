"""The tasks of `sisy.testing.BackendConformance`."""

from typing import TYPE_CHECKING, Any

from sisy.django_tasks.compat import task

if TYPE_CHECKING:
    from django.tasks import TaskContext

    Context = TaskContext[Any, Any]

said: list[object] = []
"""The arguments of calls of `say` in this process."""


@task
def add(first: int, second: int = 1) -> int:
    return first + second


@task
async def aadd(first: int, second: int = 1) -> int:
    return first + second


@task
def say(word: object) -> None:
    said.append(word)


@task
def echo(*args: Any, **kwargs: Any) -> list[Any]:
    return [args, kwargs]


@task
def fail() -> None:
    raise ValueError("It went wrong")


@task
async def afail() -> None:
    raise ValueError("It went wrong")


@task
def leave() -> None:
    raise SystemExit(3)


@task
def return_what_json_cannot_hold() -> object:
    return object()


@task(takes_context=True)
def look_around(context: "Context", word: str) -> list[Any]:
    return [context.task_result.id, context.attempt, word]


@task(takes_context=True)
async def alook_around(context: "Context", word: str) -> list[Any]:
    return [context.task_result.id, context.attempt, word]
