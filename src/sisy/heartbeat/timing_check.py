"""Recompute when tasks are due whose timing was changed without `Task.save`.

One UPDATE may change the timing of all tasks. They are recomputed in chunks, each in a transaction
of its own. Between two chunks, the heartbeat plans what is due: see `Turn`.
"""

from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import QuerySet

from sisy.heartbeat.quarantine import one_by_one
from sisy.heartbeat.turn import ENDLESS, Turn
from sisy.models import Task, activation
from sisy.models.prepared import prepared
from sisy.models.task_fields import FIRST_DUE_FIELDS
from sisy.store.isolation import isolating

CHUNK = 100


def compute_unplanned(using: str, now: datetime, turn: Turn = ENDLESS) -> int:
    """Compute ``next_run`` of tasks that ``QuerySet.update()`` has changed. Return how many."""
    # From the moment of the change on, so that what has been due since then is planned or recorded
    # as missed, like everything else.
    if not prepared(_any_unplanned, using).rows():
        return 0
    return _plan_anew(Task.objects.using(using).unplanned(), now, turn, from_change=True)


def _any_unplanned() -> "QuerySet[Task, tuple[int]]":
    return Task.objects.unplanned().order_by().values_list("pk")[:1]


def audit(using: str, now: datetime, first_pk: int, last_pk: int, turn: Turn = ENDLESS) -> int:
    """Compute ``next_run`` of tasks whose timing raw SQL has changed. Return how many.

    Args:
        first_pk, last_pk: the first and the last task to check.
    """
    # Raw SQL leaves no trace of when it happened, so these tasks are planned from now on.
    part = Task.objects.using(using).filter(pk__gte=first_pk, pk__lte=last_pk)
    return _plan_anew(part.with_stale_timing(), now, turn, from_change=False)


def _plan_anew(tasks: "QuerySet[Task]", now: datetime, turn: Turn, from_change: bool) -> int:
    count = 0
    while True:
        planned = _plan_chunk(tasks.order_by(), now, from_change)
        count += planned
        if planned < CHUNK or turn.ends_here():
            return count


def _plan_chunk(tasks: "QuerySet[Task]", now: datetime, from_change: bool) -> int:
    def each(error: Exception) -> int:
        pks = list(tasks.values_list("pk", flat=True)[:CHUNK])
        one_by_one(tasks.db, pks, lambda pk: _start_anew(tasks.filter(pk=pk), now, from_change))
        return len(pks)

    return isolating(partial(_start_anew, tasks, now, from_change), each)


def _start_anew(tasks: "QuerySet[Task]", now: datetime, from_change: bool) -> int:
    """Compute the next moment of a chunk of ``tasks``. Skips tasks that are locked."""
    using = tasks.db
    with transaction.atomic(using=using):
        starts = []
        for task in tasks.only(*FIRST_DUE_FIELDS).select_for_update(skip_locked=True)[:CHUNK]:
            # The change may be later than ``now``, if this heartbeat was delayed after it read the
            # clock. Nothing before the change may be planned.
            changed_at = task.planning_since if from_change else None
            starts.append((task, activation.Start.of(task, changed_at or now)))
        activation.store_starts(using, starts)
    return len(starts)
