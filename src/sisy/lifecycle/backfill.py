"""Submit runs for occurrences in the past."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

from sisy.lifecycle.submit import execute_if_eager, store
from sisy.records.choices import Origin
from sisy.store import locking

if TYPE_CHECKING:
    from sisy.models.run import Run
    from sisy.models.task import Task


def backfill(
    task: "Task", choose: Callable[[], Sequence[datetime]], using: str, now: datetime
) -> "list[Run]":
    """Submit a run for each chosen occurrence, and return the runs.

    Args:
        choose: returns the occurrences; called while the task is locked.
    """
    with transaction.atomic(using=using):
        # Of two backfills of the same range, the second one finds what the first submitted.
        locking.lock(type(task).objects.using(using).filter(pk=task.pk))
        runs = [
            task.new_run(now=now, origin=Origin.BACKFILL, occurrence_at=moment)
            for moment in choose()
        ]
        stored = store(runs, using)
    execute_if_eager(stored, using)
    return stored
