"""Plan by the old schedule what was due before raw SQL changed the schedule of a task.

While no heartbeat is running, tasks become overdue. If raw SQL changes their schedule then, the
task has the new schedule, but what it has missed was due by the old one. That is still in its
fingerprint. A heartbeat plans by the old one up to now, and by the new one from then on.
"""

from collections.abc import Iterable
from datetime import datetime

from sisy.models import Task
from sisy.planning.timing import ON_TIME_TOLERANCE, timing_in


def restore_timing(using: str, tasks: Iterable[Task], now: datetime) -> list[int]:
    """Give overdue tasks, in memory, the schedule that raw SQL has replaced.

    Return their keys: they must be planned anew from ``now``.
    """
    # One that is due just now is planned by the new schedule: either may have been in effect.
    overdue = {task.pk: task for task in tasks if _is_overdue(task, now)}
    if not overdue:
        return []
    stale = Task.objects.using(using).with_stale_timing().filter(pk__in=overdue).order_by()
    restored = []
    for pk, fingerprint in stale.values_list("pk", "timing_fingerprint"):
        if known := timing_in(fingerprint):
            overdue[pk].schedule, overdue[pk].timezone = known
            restored.append(pk)
    return restored


def _is_overdue(task: Task, now: datetime) -> bool:
    return task.next_run is not None and task.next_run < now - ON_TIME_TOLERANCE
