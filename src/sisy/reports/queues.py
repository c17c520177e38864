"""The queues of tasks, runs and workers, with their backlogs.

Only queues that were paused at some time have a row of their own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db.models import Count

from sisy.models import Process, Queue, Task
from sisy.records.small_tables import QueuedRun, planned_ahead
from sisy.reports.by_state import NewestRuns, running_runs
from sisy.reports.queue_names import queues_of

MAX_QUEUED_COUNTED = 10_000  # the runs that have been queued longest


@dataclass(slots=True, kw_only=True)
class QueueStats:
    """A queue, with its runs and workers."""

    name: str
    paused_at: datetime | None = None
    paused_until: datetime | None = None
    paused_by: str = ""
    pause_reason: str = ""
    queued: int = 0
    is_all: bool = True
    """True if ``queued`` is exact; if not, there are more."""
    ready: list[datetime] = field(default_factory=list)
    """Since when each of these runs has been ready, the longest first."""
    running: int = 0
    workers: list[str] = field(default_factory=list)
    """The workers that claim its runs."""
    draining: int = 0
    """The number of workers that only finish their current runs."""
    slots: int = 0
    """The slots of its workers, which may serve other queues, too."""

    @property
    def oldest(self) -> datetime | None:
        """The moment since which the oldest queued run has been ready; None if none is queued."""
        return self.ready[0] if self.ready else None


def queues(using: str, now: datetime) -> list[QueueStats]:
    """Return each queue that a task, a run or a worker names, sorted by name."""
    seen: dict[str, QueueStats] = {}

    def at(name: str) -> QueueStats:
        return seen.setdefault(name, QueueStats(name=name))

    for name in queues_of(Task.objects.using(using).native()):
        at(name)
    for queue in Queue.objects.using(using):
        at(queue.name).paused_at = queue.paused_at
        at(queue.name).paused_until = queue.paused_until
        at(queue.name).paused_by = queue.paused_by
        at(queue.name).pause_reason = queue.pause_reason
    waiting = QueuedRun.objects.using(using).filter(engine="").exclude(planned_ahead(now))
    waiting = waiting.order_by("ready_at")
    queued = list(waiting.values_list("queue", "ready_at")[:MAX_QUEUED_COUNTED])
    for name, ready_at in queued:
        at(name).queued += 1
        at(name).ready.append(ready_at)
    going = running_runs(using).native().order_by()
    for name in going.values_list("queue", flat=True)[:MAX_QUEUED_COUNTED]:
        at(name).running += 1
    for process in Process.objects.using(using).alive(now):
        for name in process.queues:
            if process.drain_requested_at is not None:
                at(name).draining += 1
                continue
            at(name).workers.append(str(process))
            at(name).slots += process.slots
    for stats in seen.values():
        # Those of any queue may be among the runs that were not read.
        stats.is_all = len(queued) < MAX_QUEUED_COUNTED
    return sorted(seen.values(), key=lambda queue: queue.name)


def unserved(found: Iterable[QueueStats]) -> list[str]:
    """Return the names of the queues without a worker."""
    return [queue.name for queue in found if not queue.workers and not queue.draining]


def throughput_by_queue(using: str, now: datetime, span: timedelta) -> tuple[dict[str, int], bool]:
    """Return how many runs of each queue ended in a period before ``now``, and if these are all.

    Only the newest runs are read: see `NewestRuns`.
    """
    newest = NewestRuns.of(using)
    ended = newest.runs.filter(finished_at__gte=now - span, started_at__isnull=False)
    numbers = dict(ended.order_by().values_list("queue").annotate(Count("pk")))
    return numbers, newest.reach(now - span)
