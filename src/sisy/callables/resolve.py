"""The function that a worker calls for a run.

Mostly it is what the run's target names. A task of ``django.tasks`` takes arguments of its own
instead of a message: what adapts it is registered here when Django starts, since it knows of
results, which this package does not.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sisy.callables.lookup import DjangoTask, Function, is_task_of_django

if TYPE_CHECKING:
    from sisy.models import Run

Adapter = Callable[[DjangoTask, "Run"], Function]

_adapters: list[Adapter] = []


def adapt_tasks_of_django(adapter: Adapter) -> None:
    """Have ``adapter`` return the function, which takes a message, of a task and its run."""
    _adapters[:] = [adapter]


def function_of(run: "Run") -> Function:
    """Return the function of a run, which takes the message.

    Raises:
        CallableError: it is gone, or can no longer be called.
    """
    found: Any = run.target.resolve()
    if is_task_of_django(found):
        (adapt,) = _adapters
        return adapt(found, run)
    return found  # type: ignore[no-any-return]
