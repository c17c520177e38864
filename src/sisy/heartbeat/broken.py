"""Sets tasks aside that cannot be planned, so that they stop no others."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from sisy.database_thread import database_is_away
from sisy.log import logger
from sisy.models import Task, TaskState

T = TypeVar("T")


def carefully(using: str, pk: int, step: Callable[[], T]) -> T | None:
    """Return what ``step`` does with one task; None if it fails: the task is then set aside.

    Raises:
        Exception: the database is away, which is not the task's fault; see `database_is_away`.
    """
    try:
        return step()
    except Exception as error:
        if database_is_away(error):
            raise
        logger.exception("Task %s cannot be planned and is set aside", pk)
        set_aside(
            using,
            pk,
            f"It cannot be planned: {type(error).__name__}. The log has all of the error.",
        )
        return None


def one_by_one(using: str, pks: Iterable[int], step: Callable[[int], int]) -> int:
    """Return the sum of what ``step`` returns for each task of a chunk that failed as a whole.

    One of them may not even be readable: it is set aside.

    Raises:
        Exception: as for `carefully`.
    """
    return sum(carefully(using, pk, partial(step, pk)) or 0 for pk in pks)


def set_aside(using: str, pk: int, reason: str) -> None:
    """Mark a task as broken; it is planned again once its timing is mended."""
    Task.objects.using(using).filter(pk=pk).update(
        state=TaskState.BROKEN, state_reason=reason[:500], next_run=None
    )
