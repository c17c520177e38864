"""Apply overlap policies to the runs that a claim has locked, and store the decisions.

Only the worker that holds the lock on a task decides about its runs. Otherwise, two workers could
both find that none of them is running.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sisy import conf
from sisy.lifecycle.cancel import request_cancel
from sisy.lifecycle.skip import skip
from sisy.models import Overlap, Run, RunState, Task
from sisy.store import claims
from sisy.store.claims import ClaimScope
from sisy.worker.overlap import PolicyDecision, Running, apply_policy


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
        if pk not in tasks and run.task is not None and run.task.allow_overlap:
            result.starting.append(run)
        elif pk not in tasks:
            result.contended.add(pk)
        elif pk not in decisions:
            policy, limit = tasks[pk].overlap, conf.get_settings().buffer_limit
            decision = apply_policy(policy, live[pk].queued, live[pk].running, limit, scope.now)
            decisions[pk] = decision
            result.starting += [] if decision.starting is None else [decision.starting]
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
    """Store a decision, unless another worker has locked the run that is to start."""
    using, now = scope.using, scope.now
    starting = decision.starting
    if starting is not None and starting.pk not in locked:
        result.starting.remove(starting)
        result.contended.add(task.pk)
        return
    if decision.queued:
        result.blocked.add(task.pk)
    skip(using, task, [one for one in decision.skipped if one[0].pk in locked], now)
    if decision.ending:
        reason = f"It was replaced by run {decision.successor} of the task."
        by_force = task.overlap == Overlap.TERMINATE_OTHER
        runs = Run.objects.using(using).filter(pk__in=decision.ending)
        request_cancel(runs, reason, now, by_force=by_force)
