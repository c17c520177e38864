"""The health of a site: heartbeats, workers, and overdue tasks and runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef
from django.utils.translation import ngettext

from sisy import conf
from sisy.models import Process, Queue, Role, Run, Task
from sisy.reports import formatting


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result of one health check."""

    name: str
    is_well: bool
    words: str


def health(using: str, now: datetime, queues: Sequence[str], limit: timedelta) -> list[Finding]:
    """Return what is well at ``now``, and what is not.

    Args:
        queues: those that workers must serve; one that is paused needs none.
        limit: how long a run may be queued, or a due task unplanned.
    """
    paused = set(Queue.objects.using(using).paused().values_list("name", flat=True))
    alive = list(Process.objects.using(using).alive(now))
    return [
        _heartbeat(alive, now),
        *_workers(using, alive, queues, paused, now - limit),
        _planning(using, now, limit),
        _queued(using, now, limit, paused),
    ]


def health_of_host(using: str, now: datetime, host: str) -> list[Finding]:
    """Return whether a heartbeat or a worker of one host is alive, whatever the others do.

    Args:
        host: the name that its processes have given, which is ``socket.gethostname()``.
    """
    alive = Process.objects.using(using).alive(now).filter(host=host)
    words = ", ".join(map(str, alive)) or f"no heartbeat or worker is running on {host}"
    return [Finding(name="processes of this host", is_well=bool(alive), words=words)]


def _heartbeat(alive: Sequence[Process], now: datetime) -> Finding:
    beating = [process for process in alive if process.role == Role.HEARTBEAT]
    if not beating:
        return Finding(
            name="heartbeat", is_well=False, words="none is running, so nothing is planned"
        )
    heard = max(process.lease_until for process in beating) - conf.get_settings().lease
    ago = max(timedelta(0), now - heard)
    words = f"{len(beating)} running, last seen {formatting.span(ago)} ago"
    return Finding(name="heartbeat", is_well=True, words=words)


def _workers(
    using: str,
    alive: Sequence[Process],
    queues: Sequence[str],
    paused: set[str],
    tolerated: datetime,
) -> Iterator[Finding]:
    elsewhere = conf.get_settings().alias_of(conf.DEFAULT_ENGINE)
    own: set[str] = set()
    if elsewhere:
        own.update(Task.objects.using(using).native().values_list("queue", flat=True))
    for queue in queues:
        serving = [process for process in alive if queue in process.queues]
        slots = sum(process.slots for process in serving)
        with_slots = ngettext("%d slot", "%d slots", slots) % slots
        words = f"{len(serving)} running, with {with_slots}" if serving else "none is running"
        if queue in paused:
            words += "; the queue is paused"
        needs_none = bool(elsewhere) and queue not in own
        if needs_none and not serving:
            words = f"none is running, but none is needed: {elsewhere!r} executes its runs"
        able = [process for process in serving if not process.problem]
        troubled = [process for process in serving if process.problem]
        if troubled:
            words += f"; {len(troubled)} cannot start functions: {troubled[0].problem}"
        # One that others stand in for is a problem, too, unless it lasts for a moment only.
        lately = [p for p in troubled if p.problem_since and p.problem_since >= tolerated]
        is_well = (bool(able) and len(lately) == len(troubled)) or queue in paused or needs_none
        yield Finding(name=f"workers of {queue}", is_well=is_well, words=words)


def _planning(using: str, now: datetime, limit: timedelta) -> Finding:
    oldest = Task.objects.using(using).due(now).first()
    if oldest is None or oldest.next_run is None:
        return Finding(name="due tasks", is_well=True, words="all are planned")
    overdue = now - oldest.next_run
    words = f"{oldest} has been due for {formatting.span(overdue)} but is not planned"
    return Finding(name="due tasks", is_well=overdue <= limit, words=words)


def _queued(using: str, now: datetime, limit: timedelta, paused: set[str]) -> Finding:
    others = Run.objects.running().filter(task=OuterRef("task"))
    queued = Run.objects.using(using).ready(now).exclude(queue__in=paused)
    # What waits for its turn, behind another run of its task, needs no worker yet.
    queued = queued.filter(~Exists(others))
    oldest = queued.order_by("ready_at").first()
    if oldest is None:
        words = "no queued run needs a worker"
        waits = timedelta(0)
    else:
        number = queued.count()
        waits = now - oldest.ready_at
        words = ngettext("%d run is queued", "%d runs are queued", number) % number
        words += (
            f"; {oldest} has been queued for {formatting.span(waits)} in the queue {oldest.queue}"
        )
    words += _in_paused(using, now, paused)
    return Finding(name="queued runs", is_well=waits <= limit, words=words)


def _in_paused(using: str, now: datetime, paused: set[str]) -> str:
    """Return how many runs paused queues hold: nobody needs to be woken, but it is said."""
    held = Run.objects.using(using).ready(now).filter(queue__in=paused) if paused else None
    number = 0 if held is None else held.count()
    if not number:
        return ""
    words = ngettext(
        "; %d run is queued in a paused queue (%s)",
        "; %d runs are queued in paused queues (%s)",
        number,
    )
    return words % (number, ", ".join(sorted(paused)))
