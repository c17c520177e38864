"""The queued runs that a new worker would skip, because of the overlap policy of their tasks.

If several runs of a task are queued and none is running, the oldest one starts. The policy decides
about the others: see `sisy.worker.overlap`. So a worker that starts after an outage may discard a
backlog.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import ngettext

from sisy import conf
from sisy.models import Overlap, Task
from sisy.records.small_tables import QueuedRun

MAX_TASKS_READ = 1000
MAX_RUNS_COUNTED = 10_000  # ready runs of a queue: pages show the number
ROUND, MAX_LIMIT = 50, 10_000  # of the setting
KEPT = {
    Overlap.SKIP: 1,
    Overlap.BUFFER_ONE: 2,
    Overlap.CANCEL_OTHER: 2,
    Overlap.TERMINATE_OTHER: 2,
}
"""By the policies that skip runs, how many of the queued runs of a task are not skipped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """The number of ready runs that a new worker would skip, at most.

    Some of them may run nevertheless, such as those of a backfill.

    Attributes:
        by_policy: because their tasks do not run twice at the same time.
        by_limit: because more runs of their tasks are queued than ``SISY_BUFFER_LIMIT``.
        needed: a limit with which none of the latter would be skipped, with room for those that
            are planned until a worker starts; 0 if there are none.
    """

    by_policy: int
    by_limit: int
    needed: int = 0


def would_be_skipped(using: str, queue: str, now: datetime, task: int | None = None) -> Skipped:
    """Return how many runs that are ready a new worker of a queue would skip, at most.

    Of more than `MAX_RUNS_COUNTED`, it counts so many.

    Args:
        task: only the runs of this task; None means all.
    """
    ready = QueuedRun.objects.using(using).filter(engine="", queue=queue, ready_at__lte=now)
    if task is not None:
        ready = ready.filter(task_id=task)
    counts = Counter(ready.order_by().values_list("task_id", flat=True)[:MAX_RUNS_COUNTED])
    several = [pk for pk, number in counts.most_common(MAX_TASKS_READ) if number > 1]
    tasks = Task.objects.using(using).filter(pk__in=several)
    policies = tasks.values_list("pk", "overlap", "schedule")
    # The oldest run starts. The limit does not apply to the runs of a `bulk_run_once`.
    room = 1 + conf.get_settings().buffer_limit
    buffered = [
        counts[pk]
        for pk, policy, schedule in policies
        if policy == Overlap.BUFFER_ALL and schedule and counts[pk] > room
    ]
    return Skipped(
        by_policy=sum(
            max(0, counts[pk] - KEPT[Overlap(policy)])
            for pk, policy, _ in policies
            if policy in KEPT
        ),
        by_limit=sum(count - room for count in buffered),
        needed=_with_room(max(buffered)) if buffered else 0,
    )


def _with_room(number: int) -> int:
    """Return a round number that is a fifth larger, at least."""
    return min(MAX_LIMIT, -(-int(number * 1.2) // ROUND) * ROUND)


def warning(using: str, queue: str, now: datetime, task: int | None = None) -> str:
    """Return how many runs a new worker of a queue would skip, and how to keep them; or nothing.

    Args:
        task: see `would_be_skipped`.
    """
    skipped = would_be_skipped(using, queue, now, task)
    # What to do first comes first: whoever reads this may have copied the command already.
    by_policy = ngettext(
        "Before a worker starts, set the field 'overlap' of the task to 'buffer_all', in code or "
        "in the admin. Otherwise %d queued run is skipped, because the task does not run twice at "
        "the same time.",
        "Before a worker starts, set the field 'overlap' of the task to 'buffer_all', in code or "
        "in the admin. Otherwise up to %d queued runs are skipped, because their tasks do not run "
        "twice at the same time.",
        skipped.by_policy,
    )
    by_limit = ngettext(
        "Before a worker starts, raise the setting SISY_BUFFER_LIMIT from %(limit)d to "
        "%(needed)d or more. Otherwise the newest queued run is skipped.",
        "Before a worker starts, raise the setting SISY_BUFFER_LIMIT from %(limit)d to "
        "%(needed)d or more. Otherwise up to %(number)d of the newest queued runs are skipped.",
        skipped.by_limit,
    )
    named = {
        "limit": conf.get_settings().buffer_limit,
        "needed": skipped.needed,
        "number": skipped.by_limit,
    }
    found = (
        by_policy % skipped.by_policy if skipped.by_policy else "",
        by_limit % named if skipped.by_limit else "",
    )
    return " ".join(filter(None, found))
