"""Treat rows stored before a `sisy_time` block as if they had been stored at its moment.

Tasks that code declares are made by ``migrate``, on the day on which the tests happen to run, and
tasks of a fixture as it is loaded. Planned from that day on, a task would not run at all in a
block that lies before it, and would have missed years in one that lies after it.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import Q

from sisy.declarations import Declaration
from sisy.heartbeat.timing_check import compute_unplanned
from sisy.models import Run, Task, TaskState, timing
from sisy.syncing.discovery import discover
from sisy.syncing.sync import create, task_of


def begin(using: str, now: datetime, before: datetime) -> None:
    """Let stored tasks be planned from ``now`` on, and runs that could start be ready then.

    Args:
        before: the moment by the clock that has been in use so far.
    """
    with transaction.atomic(using=using):
        for declaration in discover().declarations:
            _make_if_only_its_day_was_over(using, declaration, now, before)
        tasks = Task.objects.using(using)
        tasks.filter(planned_until__gt=now).update(planned_until=now)
        # A declared task stays once its last day is over, and may have it before it again.
        is_in_use = Q(state=TaskState.ACTIVE) | Q(
            state=TaskState.RETIRED, declaration__isnull=False
        )
        tasks.filter(is_in_use).exclude(schedule="").update(
            state=TaskState.ACTIVE, next_run=None, planning_since=now
        )
        compute_unplanned(using, now)
        Run.objects.using(using).queued().filter(ready_at__gt=now, ready_at__lte=before).update(
            ready_at=now
        )


def _make_if_only_its_day_was_over(
    using: str, declaration: Declaration, now: datetime, before: datetime
) -> None:
    """Make the task of a declaration whose last occurrence lies between ``now`` and ``before``.

    No other: a test may have deleted its task.
    """
    if declaration.fields.get("end_running") is None:
        return
    try:
        wanted = task_of(declaration)
    except ValueError:  # as `sisy_sync` and ``check`` tell
        return
    was_over = timing.first_due(wanted, before) is None
    if was_over and not Task.objects.using(using).filter(name=declaration.name).exists():
        create(using, declaration.name, wanted, now)
