"""The health of a site, for probes: the result of each check.

A check passes if there is no alert of its kind. Its text says what it found, even if it passes.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils.translation import ngettext

from sisy import conf
from sisy.alerting.capacity import Fleet
from sisy.models import Process, Run, Task
from sisy.reports.alerts.alert import Thresholds
from sisy.reports.alerts.processes import (
    heartbeat_alerts,
    needed_queues,
    needing_worker,
    queued_alerts,
    queued_in,
    worker_alerts,
)
from sisy.reports.alerts.tasks import late_alerts
from sisy.reports.fleet import last_seen
from sisy.runtime.durations import rounded_text

DEFAULT_LIMIT = timedelta(seconds=60)
MAX_TASKS_READ = 1000  # tasks whose queues need a worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one health check."""

    name: str
    is_well: bool
    words: str

    @property
    def row(self) -> dict[str, Any]:
        """The finding as the command and the view ``health`` show it."""
        return {"check": self.name, "healthy": self.is_well, "details": self.words}


def health(
    using: str,
    now: datetime,
    queues: Sequence[str],
    limit: timedelta,
    *,
    is_limited: bool = False,
) -> list[Finding]:
    """Return the result of each health check at ``now``.

    Args:
        queues: the queues that workers must serve; a paused queue needs no worker.
        limit: how long a run may be queued, or a due task unplanned.
        is_limited: whether runs in other queues are left out, because a probe named the queues.
    """
    fleet = Fleet.at(using, now)
    thresholds = Thresholds(late=limit, queued=limit, problem=limit)
    return [
        _heartbeat(fleet, now),
        *_workers(using, fleet, queues, now, thresholds),
        _planning(using, now, thresholds),
        _queued(using, now, fleet, thresholds, queues if is_limited else None),
    ]


def queues_to_check(using: str) -> list[str]:
    """Return the queues that need a worker unless a probe names some: those of all active tasks.

    Tasks whose runs other engines execute need no worker. If no task is active, the queues are
    those that a worker serves by default.
    """
    if Task.objects.using(using).active().exists():
        return needed_queues(using)
    return list(conf.DEFAULT_QUEUES)


def failed_checks(using: str, now: datetime) -> list[str]:
    """Return the health checks of a site that fail, in words.

    They are those of ``sisy_health``, for the default limit and the queues of the tasks that are
    due next.
    """
    found = health(using, now, queues_in_use(using), DEFAULT_LIMIT)
    return [f"{finding.name}: {finding.words}" for finding in found if not finding.is_well]


def queues_in_use(using: str) -> list[str]:
    """Return the queues of the tasks that are due next, which workers must serve."""
    # Not of all tasks: reading a million of them each minute would take too long.
    first = Task.objects.using(using).active().order_by("next_run")
    rows = first.values_list("queue", "engine")[:MAX_TASKS_READ]
    native = conf.get_settings().native_engines
    return sorted({queue for queue, engine in rows if engine in native})


def health_of_host(using: str, now: datetime, host: str) -> list[Finding]:
    """Check that a heartbeat or a worker of one host is alive, whatever the other hosts do.

    Args:
        host: the name under which its processes registered, which is ``socket.gethostname()``.
    """
    alive = Process.objects.using(using).alive(now).filter(host=host)
    words = ", ".join(map(str, alive)) or f"no heartbeat or worker is running on {host}"
    return [Finding(name="processes on this host", is_well=bool(alive), words=words)]


def _heartbeat(fleet: Fleet, now: datetime) -> Finding:
    is_well = not any(heartbeat_alerts(fleet))
    words = "no heartbeat is running, so no new runs are planned"
    if seen := last_seen(fleet.heartbeats):
        ago = rounded_text(max(timedelta(0), now - seen))
        words = f"{len(fleet.heartbeats)} running, last seen {ago} ago"
    return Finding(name="heartbeat", is_well=is_well, words=words)


def _workers(
    using: str, fleet: Fleet, queues: Sequence[str], now: datetime, thresholds: Thresholds
) -> Iterator[Finding]:
    elsewhere = conf.get_settings().alias_of(conf.DEFAULT_ENGINE)
    own: set[str] = set()
    if elsewhere:
        own.update(Task.objects.using(using).native().values_list("queue", flat=True))
    needed = [queue for queue in queues if not elsewhere or queue in own]
    alerts = list(worker_alerts(fleet, needed, now, thresholds))
    for queue in queues:
        needs_none = queue in fleet.paused or queue not in needed
        is_hindered = any(queue in alert.queues for alert in alerts)
        is_well = needs_none or (bool(fleet.claiming(queue)) and not is_hindered)
        words = _in_words(fleet.serving(queue))
        if queue not in needed and not fleet.serving(queue):
            words = (
                "no workers are running, and none are needed, because "
                f"{elsewhere!r} executes the runs of this queue"
            )
        if queue in fleet.paused:
            words += "; the queue is paused"
        yield Finding(name=f"workers for {queue}", is_well=is_well, words=words)


def _in_words(workers: Sequence[Process]) -> str:
    if not workers:
        return "no workers are running"
    slots = sum(worker.slots for worker in workers)
    with_slots = ngettext("%d slot", "%d slots", slots) % slots
    words = f"{len(workers)} running, with {with_slots}"
    if all(worker.drain_requested_at for worker in workers):
        return f"{words}; all of them are draining, and start no more runs"
    troubled = [worker for worker in workers if worker.problem]
    if not troubled:
        return words
    return f"{words}; {len(troubled)} cannot start runs: {troubled[0].problem}"


def _planning(using: str, now: datetime, thresholds: Thresholds) -> Finding:
    words = "all due tasks are planned"
    oldest = Task.objects.using(using).due(now).to_be_planned().first()
    if oldest is not None and oldest.next_run is not None:
        overdue = rounded_text(now - oldest.next_run)
        words = f"{oldest} has been due for {overdue} but has not been planned"
    is_well = not any(late_alerts(using, now, thresholds))
    return Finding(name="due tasks", is_well=is_well, words=words)


def _queued(
    using: str,
    now: datetime,
    fleet: Fleet,
    thresholds: Thresholds,
    only: Collection[str] | None,
) -> Finding:
    words = "no runs are waiting for a worker"
    queued = needing_worker(using, fleet, only).filter(ready_at__lte=now)
    oldest = queued.order_by("ready_at").first()
    if oldest is not None:
        number, since = queued.count(), rounded_text(now - oldest.ready_at)
        words = ngettext("%d run is queued", "%d runs are queued", number) % number
        run = Run.objects.using(using).only("label").filter(pk=oldest.run_id).first()
        words += f"; the oldest, {run or oldest}, has been queued in {oldest.queue!r} for {since}"
    paused = set(fleet.paused) if only is None else fleet.paused.keys() & set(only)
    words += _in_paused(using, now, paused)
    is_well = not any(queued_alerts(using, now, fleet, thresholds, only))
    return Finding(name="queued runs", is_well=is_well, words=words)


def _in_paused(using: str, now: datetime, paused: Collection[str]) -> str:
    """Return how many runs are queued in paused queues; empty if none are. This is not a
    failure."""
    number = queued_in(using, paused, now).count() if paused else 0
    if not number:
        return ""
    words = ngettext(
        "; %(number)d run is queued in %(queues)s",
        "; %(number)d runs are queued in %(queues)s",
        number,
    )
    names = ", ".join(sorted(paused))
    queues = ngettext("the paused queue %s", "the paused queues %s", len(paused)) % names
    return words % {"number": number, "queues": queues}
