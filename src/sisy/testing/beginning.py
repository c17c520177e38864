"""Treat rows stored before a `sisy_time` block as if they had been stored at its moment.

``migrate`` creates declared tasks on the day of the test run, and fixtures create theirs when they
are loaded. If these tasks were planned from that day on, they would not run in a block that is set
to the past, and would have missed years of occurrences in a block that is set to the future.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import Q

from sisy.heartbeat.timing_check import compute_unplanned
from sisy.lifecycle.task_state import active
from sisy.models import QueuedRun, Run, RunState, Task, TaskState
from sisy.planning import timing
from sisy.planning.declarations import Declaration
from sisy.syncing.discovery import discover
from sisy.syncing.sync import create, task_of


def begin(using: str, now: datetime, before: datetime) -> None:
    """Plan stored tasks from ``now`` on, and make runs that could have started ready at ``now``.

    Args:
        before: the moment by the previous clock.
    """
    with transaction.atomic(using=using):
        for declaration in discover().declarations:
            _make_if_only_its_day_was_over(using, declaration, now, before)
        tasks = Task.objects.using(using)
        tasks.filter(planned_until__gt=now).update(planned_until=now)
        # A declared task is kept after its last occurrence, which may be upcoming again now.
        is_in_use = Q(state=TaskState.ACTIVE) | Q(
            state=TaskState.RETIRED, declaration__isnull=False
        )
        in_use = tasks.filter(is_in_use).exclude(schedule="")
        active(next_run=None, planning_since=now).write(in_use)
        compute_unplanned(using, now)
        # A heartbeat records as missed what fell due since the end of a pause.
        tasks.filter(state=TaskState.PAUSED, paused_until__lt=now).update(paused_until=now)
        started = QueuedRun.objects.filter(ready_at__gt=now, ready_at__lte=before)
        queued = Run.objects.using(using).listed(started).filter(state=RunState.QUEUED)
        queued.update(ready_at=now)


def _make_if_only_its_day_was_over(
    using: str, declaration: Declaration, now: datetime, before: datetime
) -> None:
    """Create the task of a declaration whose last occurrence is between ``now`` and ``before``."""
    # Only such a task: a test may have deleted another one.
    if declaration.fields.get("end_running") is None:
        return
    try:
        wanted = task_of(declaration)
    except ValueError:  # sisy_sync and check report it
        return
    was_over = timing.first_due(wanted, before) is None
    if was_over and not Task.objects.using(using).filter(name=declaration.name).exists():
        create(using, declaration.name, wanted, now)
