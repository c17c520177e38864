"""The periods in which no heartbeat was running, so that nothing was planned."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from django.utils import timezone
from django.utils.translation import gettext

from sisy.models import Process, Role
from sisy.models.process import ProcessQuerySet
from sisy.planning.catch_up import IN_TIME
from sisy.runtime.durations import duration_text, in_zone, range_in_zone

MAX_READ = 1000  # heartbeats
LEAST_GAP = timedelta(minutes=1)  # a restart takes less
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
            "lasted": duration_text(self.lasted),
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

    def explains(self, first: datetime, last: datetime) -> bool:
        """Return whether occurrences between two moments were missed because of this gap."""
        return self.until is not None and self.since <= last and first <= self.until

    def in_place_of_reason(self, words: str, zone: tzinfo) -> str:
        """Return a text with this gap in place of the stored reason, if the gap is over.

        Args:
            words: a text with the reason that was stored when they were missed.
        """
        if self.until is None:
            return words
        named = range_in_zone(self.since, self.until, zone)
        return words.replace(IN_TIME, gettext("No heartbeat was running from %s.") % named)


def gap_that_explains(gaps: Iterable[Gap], first: datetime, last: datetime) -> Gap | None:
    """Return the latest gap that explains why occurrences between two moments were missed."""
    return next((gap for gap in gaps if gap.explains(first, last)), None)


def gaps_since(using: str, since: datetime, now: datetime) -> list[Gap]:
    """Return the gaps that ended after a moment, the latest first, in three statements."""
    ended = ended_processes(using, Role.HEARTBEAT).filter(ended_at__gte=since)
    return gaps_among(using, ended[:MAX_READ], since, now)


def gaps_among(
    using: str,
    ended: Iterable[Process],
    since: datetime,
    now: datetime,
    earliest: datetime | None = None,
) -> list[Gap]:
    """Return the gaps between heartbeats, the latest first.

    Args:
        ended: the heartbeats that ended after ``since``.
        earliest: when a gap begins, although it began before; by default when it really began.
    """
    found: list[Gap] = []
    heartbeats = _heartbeats(using, ended, since)
    spans = sorted((one.started_at, min(now, end_of(one))) for one in heartbeats)
    reached = spans[0][1] if spans else now
    for begin, end in spans:
        if begin > since and begin - reached >= LEAST_GAP:
            first = max(earliest or reached, reached)
            found.append(Gap(since=first, until=begin, lasted=begin - first))
        reached = max(reached, end)
    if now - reached >= LEAST_GAP:
        found.append(Gap(since=reached, until=None, lasted=now - reached))
    return found[::-1]


def ended_processes(using: str, *roles: Role) -> ProcessQuerySet:
    """Return the processes with these roles that have ended, the latest end first."""
    # The index of this order bounds what is read.
    ended = Process.all_objects.using(using).ended().filter(role__in=roles)
    return ended.order_by("-ended_at").only(*COLUMNS)


def _heartbeats(using: str, ended: Iterable[Process], since: datetime) -> list[Process]:
    """Return the registered heartbeats, those that ended, and the last one before ``since``."""
    registered = Process.objects.using(using).filter(role=Role.HEARTBEAT)
    found = [*ended, *registered.only(*COLUMNS)[:MAX_READ]]
    if not any(one.started_at <= since <= end_of(one) for one in found):
        # A gap that lasted at that moment began when the heartbeat before ended. Read only then,
        # because many rows of engines may be older than a heartbeat that has run for weeks.
        found += ended_processes(using, Role.HEARTBEAT).filter(ended_at__lte=since)[:1]
    return found


def end_of(process: Process) -> datetime:
    """Return when a process ended, or until when its lease lasts if it is registered."""
    # The end of one that died is noted by the next heartbeat, which may be hours later.
    leased_until: datetime = process.lease_until
    return min(process.ended_at or leased_until, leased_until)
