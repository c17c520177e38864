"""The heartbeats and workers that ended lately, and when no heartbeat was running."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import ngettext

from sisy.alerting.heartbeat_gaps import Gap, end_of, ended_processes, gaps_among
from sisy.models import Process, Role
from sisy.records.choices import STOPPED

SPAN = timedelta(days=1)  # the rows of ended processes are kept at least so long
MAX_READ = 1000  # ended heartbeats and workers
MAX_WORKERS_READ = 500  # that ended last
MAX_OF_ROLE = 10  # so that workers that keep crashing do not hide the end of a heartbeat
MAX_GAPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A heartbeat or worker that has ended.

    Attributes:
        last_of: the queues that have had no worker since it ended.
    """

    process: Process
    last_of: tuple[str, ...] = ()

    @property
    def at(self) -> datetime:
        """The moment of its end; if that was not recorded, the moment when its lease expired."""
        return end_of(self.process)

    @property
    def is_stopped(self) -> bool:
        """Return whether it was stopped, and did not die."""
        return self.process.end_reason == STOPPED

    @property
    def lived(self) -> timedelta:
        lived: timedelta = self.at - self.process.started_at
        return max(timedelta(0), lived)


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The processes that ended in the last 24 hours, and the gaps between heartbeats.

    Attributes:
        ended: the newest ones of each role, and the last worker of each queue without one, even
            if it ended before; the latest end first.
        more: how many others of the processes that were read ended as well.
        read: the number of ended processes that were read; None if these are all.
        gaps: the periods without a heartbeat, the latest first.
    """

    ended: list[Ended]
    more: int
    read: int | None
    gaps: list[Gap]

    @property
    def has_last(self) -> bool:
        """Return whether it has the last worker of a queue."""
        return any(one.last_of for one in self.ended)

    @property
    def words(self) -> str:
        """The number of others that ended, and of those that were read; empty if these are all."""
        words = []
        if self.more:
            more = ngettext(
                "%d more process ended in the last 24 hours.",
                "%d more processes ended in the last 24 hours.",
                self.more,
            )
            words.append(more % self.more)
        if self.read:
            read = ngettext(
                "Searched only the newest ended process.",
                "Searched only the newest %(n)s ended processes.",
                self.read,
            )
            words.append(read % {"n": f"{self.read:,}"})
        return " ".join(words)


def last_workers(using: str, queues: Collection[str]) -> dict[str, Process]:
    """Return the worker that ended last of each queue, if it is one of the newest that ended."""
    found: dict[str, Process] = {}
    for process in ended_processes(using, Role.WORKER)[:MAX_WORKERS_READ] if queues else ():
        for queue in process.queues:
            if queue in queues:
                found.setdefault(queue, process)
    return found


def past(using: str, now: datetime, unserved: Collection[str] = ()) -> Past:
    """Return which processes ended in the last 24 hours, in at most four statements.

    Args:
        unserved: queues without a worker, whose last workers are returned, too.
    """
    since = now - SPAN
    # Engines register a process for each run, which must not crowd out the others.
    ends = ended_processes(using, Role.HEARTBEAT, Role.WORKER).filter(ended_at__gte=since)
    read = list(ends[:MAX_READ])
    is_cut_short = len(read) == MAX_READ
    if is_cut_short:
        # Of the time before, not all processes are known.
        since = max(since, read[-1].ended_at or since)
    by_role = {
        role: [process for process in read if process.role == role]
        for role in (Role.HEARTBEAT, Role.WORKER)
    }
    shown = {one.pk: one for group in by_role.values() for one in group[:MAX_OF_ROLE]}
    last_of: dict[int, list[str]] = defaultdict(list)
    for queue, process in last_workers(using, unserved).items():
        shown.setdefault(process.pk, process)
        last_of[process.pk].append(queue)
    ended = [Ended(process=one, last_of=tuple(last_of[one.pk])) for one in shown.values()]
    gaps = gaps_among(using, by_role[Role.HEARTBEAT], since, now, earliest=now - SPAN)
    return Past(
        ended=sorted(ended, key=lambda one: one.at, reverse=True),
        more=sum(one.pk not in shown for one in read),
        read=MAX_READ if is_cut_short else None,
        gaps=gaps[:MAX_GAPS],
    )
