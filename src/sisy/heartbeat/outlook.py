"""Look ahead: when the next tick is needed, and where to begin to look."""

from dataclasses import dataclass, fields
from datetime import datetime

from sisy.models import Process, QueuedRun, Run
from sisy.models.process import LONGEST_LEASE
from sisy.runtime.loop import Renewal
from sisy.store.due import look_ahead
from sisy.store.statements import BEGINNING, MARK_SLACK


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The next due moments, read in one query.

    Attributes:
        has_unplanned: whether active tasks have no next moment yet.
        next_run: when the next task is due; None if none is.
        next_ready: when the next queued run becomes ready; None if none does.
        has_seen_end: whether a parent has reported the death of a process.
        first_expiry: when the first lease expires.
        last_expiry: when the last lease expires.
        next_message: when the next message is due; None if none is.
    """

    has_unplanned: bool
    next_run: datetime | None
    next_ready: datetime | None
    has_seen_end: bool
    first_expiry: datetime | None
    last_expiry: datetime | None
    next_message: datetime | None = None

    def calls_for_tick(self, now: datetime, judges_leases: bool = True) -> bool:
        """Return whether a tick at ``now`` would find something to do."""
        if self.has_unplanned or self.has_seen_end:
            return True
        if self.has_due_by(now):
            return True
        return judges_leases and self._has_expired(now)

    def has_due_by(self, moment: datetime) -> bool:
        """Return whether a task is due at ``moment`` or before."""
        return self.next_run is not None and self.next_run <= moment

    def has_ready(self, now: datetime) -> bool:
        """Return whether a queued run has become ready at ``now``."""
        return self.next_ready is not None and self.next_ready <= now

    def has_message(self, now: datetime) -> bool:
        """Return whether a message is due at ``now``."""
        return self.next_message is not None and self.next_message <= now

    def _has_expired(self, now: datetime) -> bool:
        has_run_out = self.first_expiry is not None and self.first_expiry < now
        # A lease that ends later than that was taken before the clock was set back.
        latest = now + LONGEST_LEASE
        return has_run_out or (self.last_expiry is not None and self.last_expiry > latest)

    def next_moment(self) -> datetime | None:
        """Return the next moment at which something is due; None if nothing is."""
        return min(filter(None, (self.next_run, self.next_ready)), default=None)


LOOKED_FOR = tuple(field.name for field in fields(Outlook))


def look(
    process: Process, using: str, since: datetime, due_since: datetime = BEGINNING
) -> Outlook | None:
    """Look ahead with one query of index probes. Return None if the process lost its lease.

    Args:
        since: ignore runs that became ready up to this moment.
        due_since: ignore tasks that were due before this moment.
    """
    found = look_ahead(using, process.pk, since, due_since)
    return None if found is None else Outlook(**dict(zip(LOOKED_FOR, found, strict=True)))


def became_ready(using: str, since: datetime, now: datetime) -> list[Run]:
    """Return one run of each queue in which runs became ready since the last look."""
    # Runs that were planned at this moment had no delay, and were announced already.
    delayed = QueuedRun.objects.using(using).filter(
        engine="", is_delayed=True, is_ahead=False, ready_at__gt=since, ready_at__lte=now
    )
    pks = list(delayed.order_by("ready_at").values_list("run_id", flat=True)[:100])
    runs = Run.objects.using(using).filter(pk__in=pks, planned_at__lt=now)
    return list({run.queue: run for run in runs.order_by("ready_at")}.values())


class DueMark:
    """The moment before which no task is due, so that a heartbeat does not read that part again.

    A wrong mark delays an occurrence by two seconds at most.
    """

    # Each plan moves a task to a later place in the index of what is due. The entry that it leaves
    # stays there until no transaction can see it any more. `sisy.worker.low_water` does the same
    # for queued runs.

    def __init__(self) -> None:
        self._renewal = Renewal()
        self._since = BEGINNING

    @property
    def since(self) -> datetime:
        """The moment before which no task is due."""
        return self._since

    def next_look(self) -> datetime:
        """Return from which moment the next look reads: every two seconds, from the beginning."""
        if self._renewal.is_due():
            self._since = BEGINNING
        self._renewal.begin()
        return self._since

    def note(self, next_run: datetime | None, now: datetime) -> None:
        """Note the result of the look: when the next task is due, if any is."""
        if self._since == BEGINNING:
            self._renewal.end()
        self._since = now - MARK_SLACK if next_run is None else min(next_run, now - MARK_SLACK)

    def hasten(self) -> None:
        """Let the next look read from the beginning: tasks may be due that were not before."""
        # A long transaction may commit a change whose first moment lies before the mark.
        self._renewal.hasten()

    def reset(self) -> None:
        """Read from the beginning until the next look: tasks may be due at any moment."""
        self._since = BEGINNING
