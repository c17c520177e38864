"""Takes waiting runs from the ledger for one worker; exactly one worker wins each."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q, QuerySet

from sisy.exceptions import LeaseLost
from sisy.models import Origin, Process, Run, RunState, Task, TaskState
from sisy.models.timing import PUNCTUAL


def claim(holder: Process, queues: Sequence[str], limit: int, now: datetime) -> list[Run]:
    """Return up to ``limit`` runs that are now the holder's to start, by priority, then due.

    A run that may not start beside another one of its task is settled by the task's policy: this
    is decided here and not when it was planned, since only now is it known what still runs.

    Raises:
        LeaseLost: a heartbeat has found the holder's lease expired; it must sign on again.
    """
    while True:
        starting, was_skipped = _claim_batch(holder, queues, limit, now)
        if starting or not was_skipped:
            return starting


def _claim_batch(
    holder: Process, queues: Sequence[str], limit: int, now: datetime
) -> tuple[list[Run], bool]:
    """Return the runs to start, and whether others made room by being skipped."""
    using = holder._state.db or "default"
    ledger = Run.objects.using(using)
    with transaction.atomic(using=using):
        ready = ledger.ready(now).filter(queue__in=queues)
        locked = ready.select_for_update(skip_locked=True).values_list("pk", flat=True)[:limit]
        pks = list(locked)
        if not pks:
            return [], False
        _lock_holder(using, holder)
        candidates = sorted(
            ledger.filter(pk__in=pks).select_related("task"), key=lambda run: pks.index(run.pk)
        )
        starting, skipped = _settle_overlaps(using, candidates, now)
        _start(ledger, starting, holder, now)
    return starting, bool(skipped)


def _lock_holder(using: str, holder: Process) -> None:
    """Keep the holder on the books: nobody would rescue the runs of one that is not."""
    kept = Process.objects.using(using).filter(pk=holder.pk).select_for_update()
    if not list(kept.values_list("pk")):
        raise LeaseLost(f"{holder} is no longer on the books.")


def _start(ledger: QuerySet[Run], runs: list[Run], holder: Process, now: datetime) -> None:
    ledger.filter(pk__in=[run.pk for run in runs]).update(
        state=RunState.RUNNING,
        holder=holder,
        worker=str(holder),
        attempt=F("attempt") + 1,
        started_at=now,
    )
    for run in runs:
        run.state, run.holder, run.attempt, run.started_at = (
            RunState.RUNNING,
            holder,
            run.attempt + 1,
            now,
        )


def _settle_overlaps(
    using: str, candidates: list[Run], now: datetime
) -> tuple[list[Run], list[Run]]:
    """Return the runs that may start, and those that were skipped; others go on waiting.

    Whoever starts a run that must run alone holds the lock on its task, so that two workers
    cannot both find that nothing of the task runs.
    """
    alone = {run.task.pk for run in candidates if run.task and not run.task.allow_overlap}
    if not alone:
        return candidates, []
    tasks = Task.objects.using(using).filter(pk__in=alone).order_by("pk")
    locked = set(tasks.select_for_update(skip_locked=True).values_list("pk", flat=True))
    running = Run.objects.using(using).running().filter(task__in=locked)
    busy: dict[int | None, tuple[int, datetime]] = {
        task: (pk, started_at or now)
        for task, pk, started_at in running.values_list("task_id", "pk", "started_at")
    }
    starting: list[Run] = []
    skipped: list[Run] = []
    for run in sorted(candidates, key=lambda run: run.pk):
        if run.task_id not in alone:
            starting.append(run)
        elif run.task_id not in locked:
            continue
        elif run.task_id not in busy:
            busy[run.task_id] = (run.pk, now)
            starting.append(run)
        elif not _may_take_its_turn(run, busy[run.task_id][1], now):
            _skip(using, run, blocked_by=busy[run.task_id][0], now=now)
            skipped.append(run)
    return starting, skipped


def _may_take_its_turn(run: Run, blocked_since: datetime, now: datetime) -> bool:
    """Whether a blocked run goes on waiting.

    It does if nothing of its task was going yet when it became ready, and this is not long ago:
    then a slow moment of ours, and no long run of the task, has brought the two together.
    """
    takes_its_turn: bool = now - PUNCTUAL <= run.ready_at <= blocked_since
    return takes_its_turn


def _skip(using: str, run: Run, blocked_by: int, now: datetime) -> None:
    Run.objects.using(using).filter(pk=run.pk).update(
        state=RunState.SKIPPED,
        reason=f"Run {blocked_by} of the task was still going.",
        blocked_by=blocked_by,
        finished_at=now,
    )
    if run.origin == Origin.SCHEDULE:
        _give_iteration_back(using, run.task)


def _give_iteration_back(using: str, task: Task | None) -> None:
    """A skipped occurrence does not count: a task that this one had used up goes on."""
    if task is None:
        return
    tasks = Task.objects.using(using).filter(pk=task.pk, runs_planned__gt=0)
    tasks.update(runs_planned=F("runs_planned") - 1)
    retired_by_count = Q(state=TaskState.RETIRED, iterations__isnull=False)
    tasks = Task.objects.using(using).filter(retired_by_count, pk=task.pk)
    tasks.update(state=TaskState.ACTIVE, next_run=None)
