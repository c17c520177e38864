"""The heartbeats and workers that ended lately, and when no heartbeat was running."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext, ngettext

from sisy.models import Process, Role
from sisy.models.process import ProcessQuerySet
from sisy.records.choices import STOPPED
from sisy.reports.fleet import MINUTE
from sisy.reports.formatting import span
from sisy.runtime.durations import in_zone

SPAN = timedelta(days=1)  # the rows of ended processes are kept at least so long
MAX_READ = 1000  # ended heartbeats and workers
MAX_OF_ROLE = 10  # so that workers that keep crashing do not hide the end of a heartbeat
MAX_GAPS = 5
LEAST_GAP = MINUTE  # a restart takes less
COLUMNS = (
    "role",
    "host",
    "pid",
    "version",
    "queues",
    "started_at",
    "lease_until",
    "ended_at",
    "end_reason",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A heartbeat or worker that has ended."""

    process: Process

    @property
    def at(self) -> datetime:
        """The moment of its end; if that was not recorded, the moment when its lease expired."""
        return _end_of(self.process)

    @property
    def is_stopped(self) -> bool:
        """Return whether it was stopped, and did not die."""
        return self.process.end_reason == STOPPED

    @property
    def lived(self) -> timedelta:
        lived: timedelta = self.at - self.process.started_at
        return max(timedelta(0), lived)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A period in which no heartbeat was running; ``until`` is None while it lasts."""

    since: datetime
    until: datetime | None
    lasted: timedelta

    @property
    def words(self) -> str:
        """The gap as a sentence, in the current time zone."""
        zone = timezone.get_current_timezone()
        named = {
            "since": in_zone(self.since, zone),
            "until": in_zone(self.until, zone) if self.until else "",
            "lasted": span(self.lasted),
        }
        if self.until is None:
            words = gettext(
                "No heartbeat has been running since %(since)s (%(lasted)s), so no runs are "
                "planned."
            )
        else:
            words = gettext(
                "No heartbeat was running from %(since)s to %(until)s (%(lasted)s), so no runs "
                "were planned."
            )
        return words % named


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
    read = list(_ended(using).filter(ended_at__gte=since)[:MAX_READ])
    is_cut_short = len(read) == MAX_READ
    if is_cut_short:
        # Of the time before, not all processes are known.
        since = max(since, read[-1].ended_at or since)
    by_role = {
        role: [process for process in read if process.role == role]
        for role in (Role.HEARTBEAT, Role.WORKER)
    }
    ended = [Ended(process=one) for group in by_role.values() for one in group[:MAX_OF_ROLE]]
    return Past(
        ended=sorted(ended, key=lambda one: one.at, reverse=True),
        more=sum(len(group[MAX_OF_ROLE:]) for group in by_role.values()),
        read=MAX_READ if is_cut_short else None,
        gaps=_gaps(_heartbeats(using, by_role[Role.HEARTBEAT], since), since, now),
    )


def _ended(using: str) -> ProcessQuerySet:
    """Return the heartbeats and workers that have ended, the latest end first."""
    # Engines register a process for each run, which must not crowd out the others. The index of
    # this order bounds what is read.
    ended = Process.all_objects.using(using).ended().filter(role__in=(Role.HEARTBEAT, Role.WORKER))
    return ended.order_by("-ended_at").only(*COLUMNS)


def _heartbeats(using: str, ended: Iterable[Process], since: datetime) -> list[Process]:
    """Return the registered heartbeats, those that ended, and the last one before ``since``.

    Args:
        ended: the heartbeats that ended after ``since``.
    """
    registered = Process.objects.using(using).filter(role=Role.HEARTBEAT)
    found = [*ended, *registered.only(*COLUMNS)[:MAX_READ]]
    if not any(one.started_at <= since <= _end_of(one) for one in found):
        # A gap that lasted at that moment began when the heartbeat before ended. Read only then,
        # because many rows of engines may be older than a heartbeat that has run for weeks.
        before = _ended(using).filter(role=Role.HEARTBEAT, ended_at__lte=since)
        found += before[:1]
    return found


def _end_of(process: Process) -> datetime:
    """Return when a process ended, or until when its lease lasts if it is registered."""
    # The end of one that died is noted by the next heartbeat, which may be hours later.
    leased_until: datetime = process.lease_until
    return min(process.ended_at or leased_until, leased_until)


def _gaps(heartbeats: Iterable[Process], since: datetime, now: datetime) -> list[Gap]:
    """Return when none of some heartbeats was running; ``since`` is when they are known from."""
    found: list[Gap] = []
    spans = sorted((one.started_at, min(now, _end_of(one))) for one in heartbeats)
    reached = spans[0][1] if spans else now
    for begin, end in spans:
        if begin > since and begin - reached >= LEAST_GAP:
            first = max(now - SPAN, reached)
            found.append(Gap(since=first, until=begin, lasted=begin - first))
        reached = max(reached, end)
    if now - reached >= LEAST_GAP:
        found.append(Gap(since=reached, until=None, lasted=now - reached))
    return found[::-1][:MAX_GAPS]
