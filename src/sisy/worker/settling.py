"""Settles which queued runs start, and writes down what becomes of those that do not."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sisy import conf
from sisy.lifecycle.cancel import request_cancel
from sisy.lifecycle.skip import skip
from sisy.models import Overlap, Process, Run, RunState, Task
from sisy.store.claims import live_runs
from sisy.worker.overlap import Decision, Running, apply_policy


@dataclass(frozen=True, slots=True)
class Claimant:
    """The process that claims, its queues and engine, and the current time."""

    process: Process
    queues: Sequence[str]
    engine: str
    now: datetime
    missing: frozenset[str] = frozenset()
    """The dotted paths of functions that the process cannot find."""

    @property
    def using(self) -> str:
        return self.process.using

    @property
    def missing_since(self) -> datetime:
        """The moment since which a run's function must be missing for the run to fail."""
        return self.now - conf.get_settings().missing_code


@dataclass(slots=True)
class Settled:
    """The verdict on some queued runs.

    Attributes:
        starting: those that begin now.
        blocked: the tasks whose runs stay queued until it is their turn.
        contended: the tasks over which another worker decides just now.
    """

    starting: list[Run] = field(default_factory=list)
    blocked: set[int] = field(default_factory=set)
    contended: set[int | None] = field(default_factory=set)


def settle(
    claimant: Claimant, runs: Sequence[Run], tasks: Mapping[int, Task], free: int
) -> Settled:
    """Settle ``runs``, which the caller has locked, in their order until ``free`` of them start.

    Of a task whose runs may overlap, each starts. Of any other, all queued ones are settled
    together. Whoever does so holds the lock on the task, so that no two workers find that nothing
    of it goes on: ``tasks`` are those that are locked, by their keys.
    """
    live = _live_runs(claimant, runs, tasks)
    settled = Settled()
    decisions: dict[int, Decision] = {}
    for run in runs:
        pk = run.task_id
        assert pk is not None
        if len(settled.starting) == free:
            break
        if pk not in tasks and run.task is not None and run.task.allow_overlap:
            settled.starting.append(run)
        elif pk not in tasks:
            settled.contended.add(pk)
        elif pk not in decisions:
            decisions[pk] = decision = _decision(tasks[pk], live[pk], claimant.now)
            settled.starting += [] if decision.starting is None else [decision.starting]
    locked = {run.pk for run in runs}
    locked |= _lock_queued(claimant.using, decisions.values(), locked)
    for pk, decision in decisions.items():
        _write(claimant, tasks[pk], decision, locked, settled)
    return settled


@dataclass(slots=True)
class _Live:
    """The runs of a task that go on, and those that are ready to, both oldest first."""

    going: list[Running] = field(default_factory=list)
    queued: list[Run] = field(default_factory=list)


def _live_runs(
    claimant: Claimant, runs: Sequence[Run], tasks: Mapping[int, Task]
) -> dict[int, _Live]:
    """Return what goes on and what is queued of locked tasks: ``runs``, and what else there is."""
    if not tasks:
        return {}
    live: dict[int, _Live] = defaultdict(_Live)
    known = [run for run in runs if run.task_id in tasks]
    others = live_runs(
        claimant.using,
        Run,
        list(tasks),
        claimant.queues,
        claimant.engine,
        claimant.now,
        known=[run.pk for run in known],
        missing=claimant.missing,
        missing_since=claimant.missing_since,
    )
    for run in others:
        assert run.task_id is not None
        run.task = tasks[run.task_id]
    for run in sorted([*known, *others], key=lambda run: (run.ready_at, run.pk)):
        assert run.task_id is not None
        if run.state == RunState.RUNNING or run.ready_at > claimant.now:
            live[run.task_id].going.append(Running.of(run, run.started_at or claimant.now))
        else:
            live[run.task_id].queued.append(run)
    return live


def _decision(task: Task, live: _Live, now: datetime) -> Decision:
    limit = conf.get_settings().buffer_limit
    return apply_policy(task.overlap, live.queued, live.going, limit, now)


def _lock_queued(using: str, decisions: Iterable[Decision], locked: Collection[int]) -> set[int]:
    """Lock what is decided upon and still queued, but for what another worker has locked."""
    decided = {run.pk for decision in decisions for run in decision.decided()}
    further = decided.difference(locked)
    if not further:
        return set()
    queued = Run.objects.using(using).queued().filter(pk__in=further)
    return set(
        queued.order_by("pk").select_for_update(skip_locked=True).values_list("pk", flat=True)
    )


def _write(
    claimant: Claimant, task: Task, decision: Decision, locked: Collection[int], settled: Settled
) -> None:
    """Write a verdict down, unless another worker has locked the run that is to start."""
    using, now = claimant.using, claimant.now
    starting = decision.starting
    if starting is not None and starting.pk not in locked:
        settled.starting.remove(starting)
        settled.contended.add(task.pk)
        return
    if decision.queued:
        settled.blocked.add(task.pk)
    skip(using, task, [one for one in decision.skipped if one[0].pk in locked], now)
    if decision.ending:
        reason = f"It was replaced by run {decision.successor} of the task."
        by_force = task.overlap == Overlap.TERMINATE_OTHER
        runs = Run.objects.using(using).filter(pk__in=decision.ending)
        request_cancel(runs, reason, now, by_force=by_force)
