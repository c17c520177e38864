"""The capacity of the workers of a queue to start its runs, and the words for what hinders them.

Alerts, the pages and ``why`` give the same reasons.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Self

from django.db.models import Count
from django.utils.translation import gettext, ngettext

from sisy.models import Process, Queue, Role
from sisy.records.small_tables import RunningRun
from sisy.runtime.durations import in_zone


def running(using: str, now: datetime) -> tuple[list[Process], list[Process]]:
    """Return the heartbeats and the workers that are running at ``now``."""
    alive = list(Process.objects.using(using).alive(now))
    return (
        [process for process in alive if process.role == Role.HEARTBEAT],
        [process for process in alive if process.role == Role.WORKER],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The processes that are running, the queues that are paused, and the slots in use."""

    heartbeats: list[Process]
    workers: list[Process]
    paused: dict[str, Queue]
    busy: dict[int | None, int]
    """The number of runs that each process executes, by its key."""

    @classmethod
    def at(cls, using: str, now: datetime) -> Self:
        """Read the fleet, in three statements."""
        heartbeats, workers = running(using, now)
        running_by_process = RunningRun.objects.using(using).order_by().values_list("process_id")
        return cls(
            heartbeats=heartbeats,
            workers=workers,
            paused={queue.name: queue for queue in Queue.objects.using(using).paused()},
            busy=dict(running_by_process.annotate(Count("run_id"))),
        )

    def serving(self, queue: str) -> list[Process]:
        """Return the workers of a queue."""
        return [worker for worker in self.workers if queue in worker.queues]

    def claiming(self, queue: str) -> list[Process]:
        """Return the workers of a queue that are not draining."""
        return [worker for worker in self.serving(queue) if not worker.drain_requested_at]

    def without(self, leaving: Collection[int]) -> list[str]:
        """Return the queues whose runs no worker would claim if some workers were draining.

        Args:
            leaving: the keys of these workers.
        """
        queues = {queue for one in self.workers if one.pk in leaving for queue in one.queues}
        return sorted(
            queue for queue in queues if all(one.pk in leaving for one in self.claiming(queue))
        )

    def hindrance(self, queue: str, zone: tzinfo) -> str:
        """Return, as a clause, why no run of a queue can be claimed; empty if runs can be."""
        serving = self.serving(queue)
        if queue in self.paused:
            return pause_in_words(self.paused[queue], zone)
        if not serving:
            return gettext("the queue '%s' has no worker") % queue
        if not self.claiming(queue):
            return gettext("all workers for the queue '%s' are draining") % queue
        if all(worker.problem for worker in serving):
            return problem_in_words(serving[0], zone).rstrip(".")
        return ""

    def remedy(self, queue: str) -> str:
        """Return what to do about a hindrance that a command fixes; otherwise empty."""
        if queue in self.paused:
            return gettext("Resume it with 'manage.py sisy_queues resume %s'.") % queue
        if not self.claiming(queue):
            return gettext("Start 'manage.py sisy_worker --queues %s'.") % queue
        return ""

    def fullness(self, queue: str) -> str:
        """Return, as a clause, that no worker of a queue has a free slot; empty if one has."""
        claiming = self.claiming(queue)
        slots = sum(worker.slots for worker in claiming)
        if not slots or sum(self.busy.get(worker.pk, 0) for worker in claiming) < slots:
            return ""
        words = ngettext(
            "the only worker slot for the queue '%(queue)s' is in use",
            "all %(slots)d worker slots for the queue '%(queue)s' are in use",
            slots,
        )
        return words % {"slots": slots, "queue": queue}


def pause_in_words(queue: Queue, zone: tzinfo) -> str:
    """Return, as a clause, who paused a queue, since when, and why."""
    named = {
        "queue": queue.name,
        "by": queue.paused_by,
        "since": in_zone(queue.paused_at, zone) if queue.paused_at else "",
    }
    words = gettext("the queue '%(queue)s' has been paused since %(since)s") % named
    if queue.paused_by:
        words = gettext("the queue '%(queue)s' was paused by %(by)s at %(since)s") % named
    if queue.paused_until:
        words += gettext(" and resumes at %s") % in_zone(queue.paused_until, zone)
    return f"{words} ({queue.pause_reason.rstrip('.')})" if queue.pause_reason else words


def problem_in_words(worker: Process, zone: tzinfo) -> str:
    """Return, as a sentence, since when a worker has claimed no runs, and why."""
    since = in_zone(worker.problem_since, zone) if worker.problem_since else ""
    named = {"worker": worker, "since": since, "problem": worker.problem}
    return gettext("%(worker)s has claimed no runs since %(since)s: %(problem)s") % named


def unserved_in_words(queue: str) -> str:
    """Return what the end of the last worker of a queue means for its runs."""
    words = gettext(
        "No other worker serves the queue '%s'. Its runs will stay queued until one starts."
    )
    return words % queue
