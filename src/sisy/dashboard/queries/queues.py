"""What is known of each queue: a row of its own exists only for those that were paused once."""

from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Min

from sisy.models import Process, Queue, Run, RunState, Task


@dataclass(slots=True, kw_only=True)
class Seen:
    """What tasks, runs and workers say about a queue."""

    name: str
    paused_at: datetime | None = None
    pause_reason: str = ""
    waiting: int = 0
    oldest: datetime | None = None
    running: int = 0
    workers: list[str] = field(default_factory=list)


def queues(using: str, now: datetime) -> list[Seen]:
    """Return what is known of each queue that anything names, in the order of their names."""
    seen: dict[str, Seen] = {}

    def at(name: str) -> Seen:
        return seen.setdefault(name, Seen(name=name))

    for name in Task.objects.using(using).order_by().values_list("queue", flat=True).distinct():
        at(name)
    for queue in Queue.objects.using(using):
        at(queue.name).paused_at = queue.paused_at
        at(queue.name).pause_reason = queue.pause_reason
    live = Run.objects.using(using).live().order_by().values("queue", "state")
    for row in live.annotate(count=Count("pk"), oldest=Min("ready_at")):
        if row["state"] == RunState.WAITING:
            at(row["queue"]).waiting = row["count"]
            at(row["queue"]).oldest = row["oldest"]
        else:
            at(row["queue"]).running = row["count"]
    for process in Process.objects.using(using).alive(now):
        for name in process.queues:
            at(name).workers.append(str(process))
    return sorted(seen.values(), key=lambda queue: queue.name)
