"""The queued runs that a new worker would skip, because of the overlap policy of their tasks.

If several runs of a task are queued and none is running, the oldest one starts. The policy decides
about the others: see `sisy.worker.overlap`. So a worker that starts after an outage may discard a
backlog.
"""

from datetime import datetime

from django.db.models import Count
from django.utils.translation import ngettext

from sisy.models import Overlap, Task
from sisy.records.small_tables import QueuedRun

MAX_TASKS_READ = 1000
KEPT = {
    Overlap.SKIP: 1,
    Overlap.BUFFER_ONE: 2,
    Overlap.CANCEL_OTHER: 2,
    Overlap.TERMINATE_OTHER: 2,
}
"""By the policies that skip runs, how many of the queued runs of a task are not skipped."""


def would_be_skipped(using: str, queue: str, now: datetime, task: int | None = None) -> int:
    """Return how many runs that are ready a new worker of a queue would skip, at most.

    Some of them may run nevertheless, such as those of a backfill.

    Args:
        task: only the runs of this task; None means all.
    """
    ready = QueuedRun.objects.using(using).filter(engine="", queue=queue, ready_at__lte=now)
    if task is not None:
        ready = ready.filter(task_id=task)
    several = ready.order_by().values("task_id").annotate(number=Count("run_id"))
    counts = dict(several.filter(number__gt=1).values_list("task_id", "number")[:MAX_TASKS_READ])
    policies = Task.objects.using(using).filter(pk__in=counts).values_list("pk", "overlap")
    return sum(
        max(0, counts[pk] - KEPT[Overlap(policy)]) for pk, policy in policies if policy in KEPT
    )


def warning(using: str, queue: str, now: datetime, task: int | None = None) -> str:
    """Return how many runs a new worker of a queue would skip, and how to keep them; or nothing.

    Args:
        task: see `would_be_skipped`.
    """
    number = would_be_skipped(using, queue, now, task)
    if not number:
        return ""
    # What to do first comes first: whoever reads this may have copied the command already.
    words = ngettext(
        "Before a worker starts, set the field 'overlap' of the task to 'buffer_all', in code or "
        "in the admin. Otherwise %d queued run is skipped, because the task does not run twice at "
        "the same time.",
        "Before a worker starts, set the field 'overlap' of the task to 'buffer_all', in code or "
        "in the admin. Otherwise up to %d queued runs are skipped, because their tasks do not run "
        "twice at the same time.",
        number,
    )
    return words % number
