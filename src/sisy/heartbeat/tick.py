"""One tick of the heartbeat, and the look-ahead that says when the next tick is needed."""

from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from functools import partial

from sisy.engines import dispatch
from sisy.heartbeat import plan, rescue, retention, timing_check
from sisy.heartbeat.quarantine import past_unreadable
from sisy.messaging import messages
from sisy.models import Process, QueuedRun, Run
from sisy.models.process import LONGEST_LEASE
from sisy.runtime.loop import ENDLESS, Turn
from sisy.store.due import look_ahead
from sisy.store.levels import first_of_each_priority, queues_with_runs
from sisy.store.statements import BEGINNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """The result of a tick.

    Attributes:
        queued: queued runs for which to ring, except those that were announced already.
        planned: the number of occurrences that were queued.
        missed: the number of occurrences that were recorded as missed.
        broken: the number of tasks that were marked as broken, because they cannot be planned.
        rescued: the number of runs of dead workers that were queued again.
        deleted: the number of retired tasks that were deleted.
        pruned: the number of old runs that were deleted.
        is_held_up: whether tasks are still due, because they are locked or the turn ended.
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
        """Return the message that tells dashboards what the tick did."""
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
    announce: plan.Announce = plan.ignore_runs,
    turn: Turn = ENDLESS,
    at_work_since: datetime | None = None,
    due_since: datetime = BEGINNING,
    rounds: retention.Rounds | None = None,
) -> Tick:
    """Plan due occurrences, rescue lost runs and clean up.

    Skips tasks that another transaction has locked.

    Args:
        is_thorough: whether to also look for things that no due moment reveals: queued runs
            that no worker has claimed, runs without a process, and tasks to delete.
        judges_leases: whether to rescue the runs of processes whose lease has expired; see
            `SuspensionGuard`.
        announce: called with planned runs as soon as they are committed.
        turn: the time for long work; see `Turn`.
        at_work_since: since when the heartbeat has worked without a break; see `Watch`.
        due_since: the moment before which no task is due; see `DueMark`.
        rounds: how far old history has been deleted; by default, begin at the oldest run.
    """
    plan_due = partial(plan.plan_due, using, now, announce, turn, at_work_since, due_since)
    planned = plan_due()
    if timing_check.compute_unplanned(using, now, turn):
        planned.add(plan_due())
    rescued = rescue.rescue_lost(using, now, judges_leases, turn)
    pruned = 0 if turn.has_left_work else retention.prune_history(using, now, rounds)
    # Each run on another engine has a process of its own, so prune them as fast as runs.
    if pruned or is_thorough:
        retention.prune_processes(using, now)
    made = Tick(
        now=now,
        queued=rescued,
        planned=len(planned.runs),
        missed=planned.missed,
        broken=planned.broken,
        is_held_up=planned.is_held_up,
        rescued=len(rescued),
        deleted=planned.deleted,
        pruned=pruned,
    )
    if is_thorough:
        rounds = rounds or retention.Rounds(using)
        rounds.output.prune(now)
        rounds.changes.prune()
    return _thorough(made, using) if is_thorough else made


def _thorough(made: Tick, using: str) -> Tick:
    dispatch.refuse_unknown(using, made.now)
    orphans = rescue.rescue_orphans(using, made.now)
    return replace(
        made,
        queued=past_unreadable(partial(first_ready, using, made.now), using, made.now)
        + made.queued
        + orphans,
        rescued=made.rescued + len(orphans),
        deleted=made.deleted + retention.delete_ended(using),
    )


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
        next_message: when the next message is to be sent; None if none is.
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
        """Return whether a message is to be sent at ``now``."""
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


def first_ready(using: str, now: datetime) -> list[Run]:
    """Return the first ready run of each queue that has any."""
    firsts = []
    for queue in queues_with_runs(using):
        levels = first_of_each_priority(using, queue)
        firsts += [level.since_run for level in levels if level.since <= now][:1]
    return list(Run.objects.using(using).filter(pk__in=firsts))


def became_ready(using: str, since: datetime, now: datetime) -> list[Run]:
    """Return one run of each queue in which runs became ready since the last look."""
    # Runs that were planned at this moment had no delay, and were announced already.
    delayed = QueuedRun.objects.using(using).filter(
        engine="", is_delayed=True, is_ahead=False, ready_at__gt=since, ready_at__lte=now
    )
    pks = list(delayed.order_by("ready_at").values_list("run_id", flat=True)[:100])
    runs = Run.objects.using(using).filter(pk__in=pks, planned_at__lt=now)
    return list({run.queue: run for run in runs.order_by("ready_at")}.values())
