"""Sets tasks aside that cannot be planned, so that they stop no others."""

from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError

from sisy.log import logger
from sisy.models import Task, TaskState

T = TypeVar("T")


def carefully(using: str, pk: int, step: Callable[[], T]) -> T | None:
    """Return what ``step`` does with one task; None if it fails: the task is then set aside.

    Raises:
        OperationalError, InterfaceError: the database is away, which is not the task's fault.
    """
    try:
        return step()
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001 - one bad row must not stop the others
        logger.exception("Task %s cannot be planned and is set aside", pk)
        set_aside(using, pk, f"It cannot be planned: {error}")
        return None


def set_aside(using: str, pk: int, reason: str) -> None:
    """Mark a task as broken; it is planned again once its timing is mended."""
    Task.objects.using(using).filter(pk=pk).update(
        state=TaskState.BROKEN, state_reason=reason[:500], next_run=None
    )
