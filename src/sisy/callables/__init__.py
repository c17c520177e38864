"""Convert the target of a task from a callable to a dotted path, and back."""

from sisy.callables.from_callable import target_of
from sisy.callables.lookup import (
    PATH_LIMIT,
    Callee,
    DjangoTask,
    Function,
    Kind,
    find,
    is_task_of_django,
)
from sisy.callables.target import Target, kind_at, task_at

__all__ = [
    "PATH_LIMIT",
    "Callee",
    "DjangoTask",
    "Function",
    "Kind",
    "Target",
    "find",
    "is_task_of_django",
    "kind_at",
    "target_of",
    "task_at",
]
