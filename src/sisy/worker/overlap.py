"""Decide by the overlap policies which queued runs of a task may start, and store the decisions.

Workers decide this when a run could start, because only then do they know what is still running.
If no run of the task is running, the oldest queued one starts, whatever the policy. The policy
decides about the others (`apply_policy`, without the database).

Only the worker that holds the lock on a task decides about its runs. Otherwise, two workers could
both find that none of them is running.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sisy import conf
from sisy.lifecycle.cancel import request_cancel
from sisy.lifecycle.skip import skip
from sisy.models import Origin, Overlap, Run, RunState, Task
from sisy.planning.catch_up import is_caught_up
from sisy.planning.timing import ON_TIME_TOLERANCE
from sisy.store import claims
from sisy.store.claims import ClaimScope


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running run, which blocks other runs of its task."""

    pk: int
    ready_at: datetime
    started_at: datetime

    @classmethod
    def of(cls, run: Run, started_at: datetime) -> "Running":
        return cls(pk=run.pk, ready_at=run.ready_at, started_at=started_at)

    def would_be_over_by(self, moment: datetime, now: datetime) -> bool:
        """Return whether the run would have finished by ``moment`` had it started on time."""
        return self.ready_at + (now - self.started_at) < moment


@dataclass(slots=True)
class PolicyDecision:
    """The verdict on the queued runs of a task.

    Attributes:
        starting: the run that starts now, if any.
        skipped: the runs to skip, each with the key of the run that blocked it, and the reason.
        queued: whether some runs stay queued until it is their turn.
        ending: the keys of the running runs to cancel.
        successor: the key of the run that replaces them.
    """

    starting: Run | None = None
    skipped: list[tuple[Run, int, str]] = field(default_factory=list)
    queued: bool = False
    ending: list[int] = field(default_factory=list)
    successor: int | None = None

    def skip(self, runs: Sequence[Run], blocked_by: int, reason: str) -> None:
        self.skipped += [(run, blocked_by, reason) for run in runs]

    def decided(self) -> list[Run]:
        """Return the runs that leave the queue."""
        skipped = [run for run, _, _ in self.skipped]
        return skipped if self.starting is None else [self.starting, *skipped]


def apply_policy(
    policy: str, queued: Sequence[Run], running: Sequence[Running], limit: int, now: datetime
) -> PolicyDecision:
    """Decide about the ready runs of one task.

    Args:
        policy: the task's ``overlap``; any value except ``allow``.
        queued: the ready runs of the task, oldest first.
        running: the running runs of the task, oldest first.
        limit: the number of runs that ``buffer_all`` keeps queued; runs of `bulk_run_once` are
            exempt.
    """
    decision = PolicyDecision()
    rest = list(queued)
    if not running and rest:
        decision.starting = rest.pop(0)
        running = [Running.of(decision.starting, now)]
    patient: list[Run] = []
    others: list[Run] = []
    for run in rest:
        (patient if _may_wait(run, running[0], now) else others).append(run)
    decision.queued = bool(patient)
    if not others:
        return decision
    blocker = running[0].pk
    still_running = f"Run {blocker} of the task was still running"
    match policy:
        case Overlap.BUFFER_ONE:
            kept = min((*patient, others[0]), key=_age)
            dropped = [run for run in others if run is not kept]
            decision.skip(
                dropped, blocker, f"{still_running}, and run {kept.pk} was already queued."
            )
            decision.queued = True
        case Overlap.BUFFER_ALL:
            room = max(0, limit - len(patient))
            # The limit protects from a schedule that is faster than its function. One call has
            # submitted all runs of a `bulk_run_once`: each of them is wanted.
            bounded = [run for run in others if run.origin != Origin.ONCE]
            decision.skip(
                bounded[room:],
                blocker,
                f"{still_running}, and the limit of queued runs ({limit}) was reached.",
            )
            decision.queued = True
        case Overlap.CANCEL_OTHER | Overlap.TERMINATE_OTHER:
            newest = max((*patient, others[-1]), key=_age)
            older = [run for run in others if run is not newest]
            reason = f"Run {newest.pk}, a newer run of the task, was queued."
            decision.skip(older, newest.pk, reason)
            decision.queued = True
            # A patient run may be newer than all the others. It waits, and replaces nothing.
            if newest is others[-1]:
                decision.ending, decision.successor = [run.pk for run in running], newest.pk
        case _:  # Overlap.SKIP, or a word that update() or raw SQL has stored
            decision.skip(others, blocker, f"{still_running}.")
    return decision


def _may_wait(run: Run, blocker: Running, now: datetime) -> bool:
    """Return whether a run waits for the running one to finish, whatever the policy."""
    # The policy has already let such a run start once, or a user explicitly wants it: it was tried
    # before, was released for another worker, repeats another run, or catches up on a missed
    # occurrence.
    has_begun = run.attempt > 0 or run.unresolved_since is not None
    if has_begun or is_caught_up(run) or run.origin in (Origin.BACKFILL, Origin.RETRY):
        return True
    # The two may meet only because the earlier run started late. A short delay of Sisy's must not
    # count as a long run of the task.
    is_recent = now - ON_TIME_TOLERANCE <= run.ready_at
    came_together = run.ready_at <= blocker.started_at or blocker.would_be_over_by(
        run.ready_at, now
    )
    return bool(is_recent and came_together)


def _age(run: Run) -> tuple[datetime, int]:
    return run.ready_at, run.pk


@dataclass(slots=True)
class ClaimResult:
    """The result of a claim.

    Attributes:
        starting: the runs that start now.
        blocked: the keys of tasks whose runs stay queued until it is their turn.
        contended: the keys of tasks about which another worker is deciding.
    """

    starting: list[Run] = field(default_factory=list)
    blocked: set[int] = field(default_factory=set)
    contended: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _TaskRuns:
    """The running runs of a task, and the ready ones, both oldest first."""

    running: list[Running] = field(default_factory=list)
    queued: list[Run] = field(default_factory=list)


def apply_policies(
    scope: ClaimScope, runs: Sequence[Run], tasks: Mapping[int, Task], free: int
) -> ClaimResult:
    """Decide about locked runs in their order, until ``free`` of them may start.

    Args:
        tasks: the tasks that this transaction has locked, by key.
    """
    # Each run of a task that allows overlap starts. Decide about all other runs of a task at once.
    live = _live_runs(scope, runs, tasks)
    result = ClaimResult()
    decisions: dict[int, PolicyDecision] = {}
    for run in runs:
        pk = run.task_id
        assert pk is not None
        if len(result.starting) == free:
            break
        if pk not in tasks:
            task = run.task
            if task is not None and task.allow_overlap:
                result.starting.append(run)
            else:
                result.contended.add(pk)
        elif pk not in decisions:
            policy, limit = tasks[pk].overlap, conf.get_settings().buffer_limit
            decision = apply_policy(policy, live[pk].queued, live[pk].running, limit, scope.now)
            decisions[pk] = decision
            result.starting += [] if decision.starting is None else [decision.starting]
    if not decisions:  # as in most claims of runs that may overlap
        return result
    locked = {run.pk for run in runs}
    locked |= _lock_queued(scope.using, decisions.values(), locked)
    for pk, decision in decisions.items():
        _store_decision(scope, tasks[pk], decision, locked, result)
    return result


def _live_runs(
    scope: ClaimScope, runs: Sequence[Run], tasks: Mapping[int, Task]
) -> dict[int, _TaskRuns]:
    """Return the running and ready runs of locked tasks, including ``runs``."""
    if not tasks:
        return {}
    live: dict[int, _TaskRuns] = defaultdict(_TaskRuns)
    known = [run for run in runs if run.task_id in tasks]
    others = claims.live_runs(scope, Run, list(tasks), known=[run.pk for run in known])
    for run in others:
        assert run.task_id is not None
        run.task = tasks[run.task_id]
    for run in sorted([*known, *others], key=lambda run: (run.ready_at, run.pk)):
        assert run.task_id is not None
        if run.state == RunState.RUNNING or run.ready_at > scope.now:
            live[run.task_id].running.append(Running.of(run, run.started_at or scope.now))
        else:
            live[run.task_id].queued.append(run)
    return live


def _lock_queued(
    using: str, decisions: Iterable[PolicyDecision], locked: Collection[int]
) -> set[int]:
    """Lock the other runs that leave the queue. Skip those that another worker has locked."""
    decided = {run.pk for decision in decisions for run in decision.decided()}
    further = decided.difference(locked)
    if not further:
        return set()
    queued = Run.objects.using(using).queued().filter(pk__in=further)
    return set(
        queued.order_by("pk").select_for_update(skip_locked=True).values_list("pk", flat=True)
    )


def _store_decision(
    scope: ClaimScope,
    task: Task,
    decision: PolicyDecision,
    locked: Collection[int],
    result: ClaimResult,
) -> None:
    """Store a decision, unless another worker has locked the run that should start."""
    using, now = scope.using, scope.now
    starting = decision.starting
    if starting is not None and starting.pk not in locked:
        result.starting.remove(starting)
        result.contended.add(task.pk)
        return
    if decision.queued:
        result.blocked.add(task.pk)
    if skipped := [one for one in decision.skipped if one[0].pk in locked]:
        skip(using, task, skipped, now)
    if decision.ending:
        reason = f"It was replaced by run {decision.successor} of the task."
        by_force = task.overlap == Overlap.TERMINATE_OTHER
        runs = Run.objects.using(using).filter(pk__in=decision.ending)
        request_cancel(runs, reason, now, by_force=by_force)
