"""One tick of the heartbeat: plan what is due, rescue what is lost, and clean up."""

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sisy.engines import dispatch
from sisy.heartbeat import plan, rescue, retention, timing_check
from sisy.heartbeat.quarantine import reject_unreadable_rows
from sisy.messaging import messages
from sisy.models import Run
from sisy.runtime.loop import ENDLESS, Turn
from sisy.store.isolation import past_bad_rows
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
    waiting: list[Run] = []
    deleted = planned.deleted
    if is_thorough:
        rounds = rounds or retention.Rounds(using)
        rounds.output.prune(now)
        rounds.changes.prune()
        dispatch.refuse_unknown(using, now)
        rescued += rescue.rescue_orphans(using, now)
        reject = partial(reject_unreadable_rows, using, now)
        waiting = past_bad_rows(partial(first_ready, using, now), reject)
        deleted += retention.delete_ended(using)
    return Tick(
        now=now,
        queued=waiting + rescued,
        planned=len(planned.runs),
        missed=planned.missed,
        broken=planned.broken,
        is_held_up=planned.is_held_up,
        rescued=len(rescued),
        deleted=deleted,
        pruned=pruned,
    )


def first_ready(using: str, now: datetime) -> list[Run]:
    """Return the first ready run of each queue that has any."""
    firsts = []
    for queue in queues_with_runs(using):
        levels = first_of_each_priority(using, queue)
        firsts += [level.since_run for level in levels if level.since <= now][:1]
    return list(Run.objects.using(using).filter(pk__in=firsts))
