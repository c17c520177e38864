"""Makes many tasks at once, each checked and planned as `Task.save` does it."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import connections, transaction
from django.db.models import QuerySet

from sisy import clock
from sisy.models import activation, timing
from sisy.store.bulk import Update, insert_many, update_rows

if TYPE_CHECKING:
    from sisy.models.task import Task

BATCH = 1000


def create(tasks: "QuerySet[Task]", new: "Sequence[Task]", batch_size: int | None) -> None:
    """Check, insert and plan tasks, all or none.

    Args:
        tasks: the query set to which they belong.

    Raises:
        ScheduleError, CallableError, ValueError: as `Task.save` does, and says for which one.
    """
    using = tasks.db
    connection = connections[using]
    now = clock.now(using)
    for number, task in enumerate(new):
        _check(task, number, now)
    if not connection.features.can_return_rows_from_bulk_insert:
        for task in new:
            task.next_run = None  # the next tick computes it, for tasks without a known key
    size = batch_size or BATCH
    with transaction.atomic(using=using, savepoint=False):
        for start in range(0, len(new), size):
            batch = new[start : start + size]
            keys_given = [task.pk for task in batch]
            if connection.vendor == "postgresql" and not any(keys_given):
                insert_many(using, batch)
            else:
                QuerySet.bulk_create(tasks, batch)
            keys = [task.pk for task in batch if task.next_run is not None]
            fingerprint = Update(compute={"timing_fingerprint": timing.fingerprint()})
            update_rows(using, tasks.model, keys, fingerprint)
            for task, given in zip(batch, keys_given, strict=True):
                task.remember_inserted(using, given)


def _check(task: "Task", number: int, now: datetime) -> None:
    try:
        task.begin_anew(now)
        activation.plan_unsaved(task, now)
    except ValueError as error:
        raise type(error)(f"objs[{number}], {task.label!r:.100}: {error}") from error
