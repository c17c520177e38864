"""Plan by the old timing what was due before raw SQL changed the timing of a task.

While no heartbeat is running, tasks become overdue. If raw SQL changes their schedule, time zone
or window then, what they have missed was due by the old timing. That is still in their
fingerprint. What they have missed is planned or recorded by the old timing up to now, and the
rest is planned by the new one.
"""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import QuerySet

from sisy.exceptions import ScheduleError
from sisy.planning.timing import ON_TIME_TOLERANCE, Timing, fingerprint, timing_in
from sisy.records.task import TaskRecord


def restore_timing(
    stored: QuerySet[TaskRecord], tasks: Iterable[TaskRecord], now: datetime
) -> list[int]:
    """Give overdue tasks, in memory, the timing that raw SQL has replaced.

    Return their keys: they must be planned anew from ``now``.

    Args:
        stored: all tasks of the database.
    """
    # One that is due just now is planned by the new timing: either may have been in effect.
    overdue = {task.pk: task for task in tasks if _is_overdue(task, now)}
    if not overdue:
        return []
    stale = stored.filter(pk__in=overdue).exclude(timing_fingerprint=fingerprint()).order_by()
    restored = []
    for pk, known in stale.values_list("pk", "timing_fingerprint"):
        if _restore(overdue[pk], known):
            restored.append(pk)
    return restored


def _is_overdue(task: TaskRecord, now: datetime) -> bool:
    return task.next_run is not None and task.next_run < now - ON_TIME_TOLERANCE


def _restore(task: TaskRecord, known: str) -> bool:
    """Give a task the timing in its fingerprint. Return False if it has none that is valid."""
    old = timing_in(known)
    if old is None:
        return False
    new = {name: getattr(task, name) for name in old}
    vars(task).update(old)
    try:
        Timing.of(task)
    except ScheduleError:
        # Perhaps that is why it was replaced.
        vars(task).update(new)
        return False
    return True
