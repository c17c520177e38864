"""Which waiting runs may start beside what still goes on of their task, and which are skipped."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import F, Q

from sisy.models import Origin, Run, RunState, Task, TaskState
from sisy.models.timing import PUNCTUAL


@dataclass(slots=True)
class Settled:
    """What becomes of some runs that wait.

    Attributes:
        starting: those that begin now.
        skipped: those that never will, by the run that was in their way.
        blocked: the tasks whose runs go on waiting for their turn.
    """

    starting: list[Run] = field(default_factory=list)
    skipped: dict[int, list[Run]] = field(default_factory=dict)
    blocked: set[int] = field(default_factory=set)


def settle(using: str, runs: Sequence[Run], free: int, now: datetime) -> Settled:
    """Settle ``runs`` in their order, until ``free`` of them start.

    Whoever starts a run that must run alone holds the lock on its task, so that two workers
    cannot both find that nothing of the task runs.
    """
    alone = {run.task.pk for run in runs if run.task and not run.task.allow_overlap}
    tasks = _locked(using, alone)
    busy = _running(using, tasks, now)
    settled = Settled()
    for run in runs:
        if len(settled.starting) == free:
            break
        if run.task_id not in alone:
            settled.starting.append(run)
        elif run.task_id not in tasks:
            settled.blocked.add(run.task_id)
        elif run.task_id not in busy:
            busy[run.task_id] = _Going(pk=run.pk, ready_at=run.ready_at, started_at=now)
            run.task = tasks[run.task_id]  # as it is now that what ran before has ended
            settled.starting.append(run)
        elif _takes_its_turn(run, busy[run.task_id], now):
            settled.blocked.add(run.task_id)
        else:
            settled.skipped.setdefault(busy[run.task_id].pk, []).append(run)
    return settled


def skip(using: str, skipped: Mapping[int, Sequence[Run]], now: datetime) -> None:
    """Write down what was skipped, and that it does not count as an iteration."""
    for blocked_by, runs in skipped.items():
        Run.objects.using(using).filter(pk__in=[run.pk for run in runs]).update(
            state=RunState.SKIPPED,
            reason=f"Run {blocked_by} of the task was still going.",
            blocked_by=blocked_by,
            finished_at=now,
        )
        count = sum(run.origin == Origin.SCHEDULE for run in runs)
        if count:
            _give_iterations_back(using, runs[0].task, count)


def _locked(using: str, pks: set[int]) -> dict[int | None, Task]:
    if not pks:
        return {}
    tasks = Task.objects.using(using).filter(pk__in=pks).order_by("pk")
    return {task.pk: task for task in tasks.select_for_update(skip_locked=True)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Going:
    """A run that goes on, and is in the way of others of its task."""

    pk: int
    ready_at: datetime
    started_at: datetime

    def would_be_over_by(self, moment: datetime, now: datetime) -> bool:
        """Whether it would have ended by ``moment`` had it started in time."""
        return self.ready_at + (now - self.started_at) < moment


def _running(using: str, tasks: Collection[int | None], now: datetime) -> dict[int | None, _Going]:
    """Return the run that goes on of each task, if any."""
    if not tasks:
        return {}
    running = Run.objects.using(using).running().filter(task__in=tasks)
    return {
        task: _Going(pk=pk, ready_at=ready_at, started_at=started_at or now)
        for task, pk, ready_at, started_at in running.values_list(
            "task_id", "pk", "ready_at", "started_at"
        )
    }


def _takes_its_turn(run: Run, going: _Going, now: datetime) -> bool:
    """Whether a blocked run goes on waiting instead of being skipped.

    It does if it has run before, or is caught up after an outage, since it was wanted all the
    same. It does, too, if only a late start has brought the two together, and not long ago: a
    slow moment of ours is no long run of the task.
    """
    is_caught_up = run.due_at is not None and run.planned_at - run.due_at > PUNCTUAL
    if run.attempt > 0 or is_caught_up:
        return True
    is_recent = now - PUNCTUAL <= run.ready_at
    came_together = run.ready_at <= going.started_at or going.would_be_over_by(run.ready_at, now)
    return bool(is_recent and came_together)


def _give_iterations_back(using: str, task: Task | None, count: int) -> None:
    """What is skipped does not count: a task that it had used up goes on."""
    if task is None:
        return
    tasks = Task.objects.using(using).filter(pk=task.pk)
    tasks.filter(runs_planned__gte=count).update(runs_planned=F("runs_planned") - count)
    retired_by_count = Q(state=TaskState.RETIRED, iterations__isnull=False)
    tasks.filter(retired_by_count).update(state=TaskState.ACTIVE, next_run=None)
