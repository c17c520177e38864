"""Return the function that a worker calls for a run.

Usually it is the one that the run's target names. A task of ``django.tasks`` takes its own
arguments instead of a message. The adapter for these is registered here when Django starts,
because it needs results, which this package must not import.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sisy.callables.lookup import DjangoTask, Function, is_task_of_django

if TYPE_CHECKING:
    from sisy.models import Run

Adapter = Callable[[DjangoTask, "Run"], Function]

_adapters: list[Adapter] = []


def adapt_tasks_of_django(adapter: Adapter) -> None:
    """Register the function that converts a ``django.tasks`` task and a run to a function."""
    _adapters[:] = [adapter]


def function_of(run: "Run") -> Function:
    """Return the function of a run. It takes the message as its only argument.

    Raises:
        CallableError: the function does not exist or cannot be called any more.
    """
    found: Any = run.target.resolve()
    if is_task_of_django(found):
        (adapt,) = _adapters
        return adapt(found, run)
    return found  # type: ignore[no-any-return]
