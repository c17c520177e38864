"""One pass of the heartbeat, and when the next one is wanted."""

from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import partial
from typing import Any

from django.db.models import Exists, Min, QuerySet, Subquery

from sisy import messages
from sisy.heartbeat import dispatching, planning, rescue, retention, timing_check
from sisy.heartbeat.turn import ENDLESS, Turn
from sisy.models import Process, Run, Task
from sisy.models.prepared import prepared
from sisy.models.process import LONGEST_LEASE


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """The result of a pass.

    Attributes:
        queued: queued runs beside those that were announced, for which to ring.
        planned: how many occurrences this pass queued.
        missed: how many occurrences were recorded as missed.
        broken: how many tasks were set aside, since they cannot be planned.
        rescued: how many runs were taken from dead workers to run again.
        deleted: how many tasks reached the end of their life.
        pruned: how many rows of old history were deleted.
        is_held_up: whether tasks are still due: others have locked them, or the turn has ended.
    """

    now: datetime
    queued: list[Run] = field(default_factory=list)
    planned: int = 0
    missed: int = 0
    broken: int = 0
    rescued: int = 0
    deleted: int = 0
    pruned: int = 0
    is_held_up: bool = False

    def beat(self) -> messages.Beat:
        """Return the message that tells dashboards what the pass did."""
        return messages.beat(
            self.now,
            planned=self.planned,
            missed=self.missed,
            rescued=self.rescued,
            deleted=self.deleted,
        )


def tick(
    using: str,
    now: datetime,
    is_thorough: bool = True,
    judges_leases: bool = True,
    announce: planning.Announce = planning.to_nobody,
    turn: Turn = ENDLESS,
    at_work_since: datetime | None = None,
) -> Tick:
    """Make one pass: plan what is due, rescue what is lost, tidy up what has ended.

    A task whose row somebody else has locked is passed over; a heartbeat looks again in a moment.

    Args:
        is_thorough: whether to look, too, for what no due moment points to: runs that nobody has
            taken or holds, and tasks that have ended. A heartbeat does so at each beat.
        judges_leases: whether to take the runs of those whose lease has run out; a heartbeat that
            has not watched for long enough does not: see `SuspensionGuard`.
        announce: hears of what was planned as soon as it is committed.
        turn: how long to go on with work of any length; see `Turn`.
        at_work_since: since when the heartbeat has worked on what is due now; see `Watch`.
    """
    plan_due = partial(planning.plan_due, using, now, announce, turn, at_work_since)
    planned = plan_due()
    if timing_check.compute_unplanned(using, now, turn):
        planned.add(plan_due())
    rescued = rescue.rescue_lost(using, now, judges_leases, turn)
    made = Tick(
        now=now,
        queued=rescued,
        planned=len(planned.runs),
        missed=planned.missed,
        broken=planned.broken,
        is_held_up=planned.is_held_up,
        rescued=len(rescued),
        pruned=0 if turn.has_left_work else retention.prune_history(using, now),
    )
    return _thorough(made, using) if is_thorough else made


def _thorough(made: Tick, using: str) -> Tick:
    dispatching.refuse_unknown(using, made.now)
    orphans = rescue.rescue_orphans(using, made.now)
    return replace(
        made,
        queued=first_ready(using, made.now) + made.queued + orphans,
        rescued=made.rescued + len(orphans),
        deleted=retention.delete_ended(using),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """The next due moments, as read from the database at one time."""

    has_unplanned: bool
    next_run: datetime | None
    next_ready: datetime | None
    has_seen_end: bool
    first_expiry: datetime | None
    last_expiry: datetime | None

    def calls_for_tick(self, now: datetime, judges_leases: bool = True) -> bool:
        """Return whether a pass at ``now`` would find something to do."""
        if self.has_unplanned or self.has_seen_end:
            return True
        if self.next_run is not None and self.next_run <= now:
            return True
        return judges_leases and self._has_expired(now)

    def _has_expired(self, now: datetime) -> bool:
        has_run_out = self.first_expiry is not None and self.first_expiry < now
        latest = now + LONGEST_LEASE
        return has_run_out or (self.last_expiry is not None and self.last_expiry > latest)

    def next_moment(self) -> datetime | None:
        """Return the next moment at which something is due; None if nothing is in sight."""
        return min(filter(None, (self.next_run, self.next_ready)), default=None)


LOOKED_FOR = tuple(field.name for field in fields(Outlook))


def look(process: Process, using: str, since: datetime) -> Outlook | None:
    """Look ahead, by one statement of index probes; None if the process lost its lease.

    Args:
        since: runs that became ready up to here were rung for before.
    """
    rows = prepared(_ahead, using, pk=int, since=datetime).rows(pk=process.pk, since=since)
    return Outlook(**dict(zip(LOOKED_FOR, rows[0], strict=True))) if rows else None


def _ahead(pk: int, since: datetime) -> QuerySet[Process, Any]:
    tasks = Task.objects.active()
    runs = Run.objects.queued().filter(ready_at__gt=since)
    leases = Process.objects.order_by("lease_until").values("lease_until")
    return (
        Process.objects.filter(pk=pk)
        .order_by()
        .values_list(
            Exists(tasks.filter(next_run=None)),
            Subquery(tasks.exclude(next_run=None).order_by("next_run").values("next_run")[:1]),
            Subquery(runs.order_by("ready_at").values("ready_at")[:1]),
            Exists(Process.objects.all().reported_dead()),
            Subquery(leases[:1]),
            Subquery(leases.reverse()[:1]),
        )
    )


def first_ready(using: str, now: datetime) -> list[Run]:
    """Return a queued run from each queue in which there is one."""
    ready = Run.objects.using(using).ready(now).native().order_by()
    firsts = ready.values("queue").annotate(first=Min("pk")).values_list("first", flat=True)
    return list(Run.objects.using(using).filter(pk__in=list(firsts)))


def became_ready(using: str, since: datetime, now: datetime) -> list[Run]:
    """Return runs whose delay has passed since the last look: one a queue is enough to ring.

    What was planned at this moment had none, and was announced.
    """
    ready = Run.objects.using(using).queued().filter(ready_at__gt=since, ready_at__lte=now)
    delayed = ready.native().filter(planned_at__lt=now)
    return list({run.queue: run for run in delayed.order_by("ready_at")[:100]}.values())
