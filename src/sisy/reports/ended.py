"""The heartbeats and workers that ended lately, and when no heartbeat was running."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import ngettext

from sisy.alerting.heartbeat_gaps import Gap, end_of, ended_processes, gaps_among
from sisy.models import Process, Role
from sisy.records.choices import STOPPED

SPAN = timedelta(days=1)  # the rows of ended processes are kept at least so long
MAX_READ = 1000  # ended heartbeats and workers
MAX_OF_ROLE = 10  # so that workers that keep crashing do not hide the end of a heartbeat
MAX_GAPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A heartbeat or worker that has ended."""

    process: Process

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
        ended: the newest ones of each role, the latest end first.
        more: how many others of the processes that were read ended as well.
        read: the number of ended processes that were read; None if these are all.
        gaps: the periods without a heartbeat, the latest first.
    """

    ended: list[Ended]
    more: int
    read: int | None
    gaps: list[Gap]

    @property
    def words(self) -> str:
        """The number of others that ended, and of those that were read; empty if these are all."""
        words = []
        if self.more:
            more = ngettext(
                "%d more ended in this period.", "%d more ended in this period.", self.more
            )
            words.append(more % self.more)
        if self.read:
            read = ngettext(
                "Only the newest ended process was read.",
                "Only the newest %(n)s ended processes were read.",
                self.read,
            )
            words.append(read % {"n": f"{self.read:,}"})
        return " ".join(words)


def past(using: str, now: datetime) -> Past:
    """Return which processes ended in the last 24 hours, in at most three statements."""
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
    ended = [Ended(process=one) for group in by_role.values() for one in group[:MAX_OF_ROLE]]
    gaps = gaps_among(using, by_role[Role.HEARTBEAT], since, now, earliest=now - SPAN)
    return Past(
        ended=sorted(ended, key=lambda one: one.at, reverse=True),
        more=sum(len(group[MAX_OF_ROLE:]) for group in by_role.values()),
        read=MAX_READ if is_cut_short else None,
        gaps=gaps[:MAX_GAPS],
    )
