"""The workers of queues, and the reasons why a queue's runs cannot be claimed."""

from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Self

from django.db.models import Count
from django.utils.translation import gettext, ngettext

from sisy.models import Process, Queue, Role, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The processes that are up, the queues that are paused, and the slots that are taken."""

    heartbeats: list[Process]
    workers: list[Process]
    paused: dict[str, Queue]
    busy: dict[int | None, int]
    """How many runs each process carries out, by its key."""

    @classmethod
    def at(cls, using: str, now: datetime) -> Self:
        """Read it, in three statements."""
        alive = list(Process.objects.using(using).alive(now))
        running = Run.objects.using(using).running().order_by().values_list("process")
        return cls(
            heartbeats=[each for each in alive if each.role == Role.HEARTBEAT],
            workers=[each for each in alive if each.role == Role.WORKER],
            paused={queue.name: queue for queue in Queue.objects.using(using).paused()},
            busy=dict(running.annotate(Count("pk"))),
        )

    def hindrance(self, queue: str, zone: tzinfo) -> str:
        """Return, as a clause, what keeps all runs of a queue from being claimed; else nothing."""
        serving = [worker for worker in self.workers if queue in worker.queues]
        if queue in self.paused:
            return pause_in_words(self.paused[queue], zone)
        if not serving:
            return gettext("the queue '%s' has no worker") % queue
        if all(worker.drain_requested_at for worker in serving):
            return gettext("all workers for the queue '%s' are draining") % queue
        if all(worker.problem for worker in serving):
            return problem_in_words(serving[0], zone).rstrip(".")
        return ""

    def is_full(self, queue: str) -> int:
        """Return how many slots the queue's workers have if all are taken, else 0."""
        serving = [worker for worker in self.workers if queue in worker.queues]
        slots = sum(worker.slots for worker in serving if not worker.drain_requested_at)
        taken = sum(
            self.busy.get(worker.pk, 0) for worker in serving if not worker.drain_requested_at
        )
        return slots if taken >= slots else 0

    def fullness(self, queue: str) -> str:
        """Return, as a clause, that the queue's workers have no free slot; else nothing."""
        slots = self.is_full(queue)
        words = ngettext(
            "the only worker slot for the queue '%(queue)s' is in use",
            "all %(slots)d worker slots for the queue '%(queue)s' are in use",
            slots,
        )
        return words % {"slots": slots, "queue": queue} if slots else ""


def pause_in_words(queue: Queue, zone: tzinfo) -> str:
    """Return, as a clause, that a queue is paused: by whom, since when and why."""
    named = {
        "queue": queue.name,
        "by": queue.paused_by,
        "since": at(queue.paused_at, zone) if queue.paused_at else "",
    }
    words = gettext("the queue '%(queue)s' has been paused since %(since)s") % named
    if queue.paused_by:
        words = gettext("the queue '%(queue)s' has been paused by %(by)s since %(since)s") % named
    return f"{words} ({queue.pause_reason.rstrip('.')})" if queue.pause_reason else words


def problem_in_words(worker: Process, zone: tzinfo) -> str:
    """Return, as a sentence, that a worker claims no runs: since when and why."""
    since = at(worker.problem_since, zone) if worker.problem_since else ""
    named = {"worker": worker, "since": since, "problem": worker.problem}
    return gettext("%(worker)s has claimed no runs since %(since)s: %(problem)s") % named


def at(moment: datetime, zone: tzinfo) -> str:
    """Return a moment to the second, by the clocks of a zone that it names."""
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S %Z}"
