"""Computes anew when tasks are due whose timing was changed behind `Task.save`."""

from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from sisy.heartbeat.broken import in_chunks
from sisy.models import Task, activation
from sisy.models.prepared import prepared


def compute_unplanned(using: str, now: datetime) -> int:
    """Plan the tasks that ``QuerySet.update()`` has changed, each from its change on.

    What has fallen due since then is planned, or recorded as missed, like everything else.
    """
    if not prepared(_any_unplanned, using).rows():
        return 0
    return _plan_anew(using, Task.objects.using(using).unplanned(), now, from_change=True)


def _any_unplanned() -> "QuerySet[Task, tuple[int]]":
    return Task.objects.unplanned().order_by().values_list("pk")[:1]


def audit(using: str, now: datetime, first_pk: int, last_pk: int) -> int:
    """Plan the tasks from now on whose timing raw SQL has changed, among those from pk to pk."""
    part = Task.objects.using(using).filter(pk__gte=first_pk, pk__lte=last_pk)
    return _plan_anew(using, part.edited_behind_our_back(), now, from_change=False)


def _plan_anew(using: str, tasks: QuerySet[Task], now: datetime, from_change: bool) -> int:
    pks = list(tasks.values_list("pk", flat=True))
    in_chunks(
        using, pks, lambda chunk: _start_anew(using, tasks.filter(pk__in=chunk), now, from_change)
    )
    return len(pks)


def _start_anew(using: str, tasks: QuerySet[Task], now: datetime, from_change: bool) -> int:
    """Start those of ``tasks`` that are still to be: another heartbeat may have done so.

    A change may lie after ``now``, if this heartbeat was held up since it read the clock: even
    then, nothing before the change is planned.
    """
    with transaction.atomic(using=using):
        starts = []
        for task in tasks.select_for_update(skip_locked=True):
            changed_at = task.planned_from if from_change else None
            starts.append((task, activation.Start.of(task, changed_at or now)))
        activation.store_starts(using, starts)
    return len(starts)
