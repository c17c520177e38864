"""Withdraw runs that were planned ahead, because their task is changed before they are due.

A withdrawn run leaves no trace: its row is deleted, and its task is as if it had not been planned
yet. What is still due by the changed task is planned again. A run that has started stays.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet, Subquery

from sisy import clock, signals
from sisy.lifecycle.task_state import send_changed
from sisy.lifecycle.transition import send
from sisy.records.choices import Origin, RunState, TaskState
from sisy.records.run import RunRecord
from sisy.records.small_tables import QueuedRun, planned_ahead
from sisy.records.task import TaskRecord
from sisy.schedules.calendar import just_before
from sisy.store.bulk import Update, update_rows
from sisy.store.due import outdated_tasks
from sisy.store.run_queries import RunRows, rows_of

BATCH = 500
# What was planned longer than this after ``now`` was planned before the clock was set back.
LATEST_READING = timedelta(seconds=clock.TRUSTED_FOR)


def withdraw(
    tasks: QuerySet[TaskRecord], pks: Sequence[int], now: datetime, *, repairs: bool = False
) -> int:
    """Withdraw what was planned ahead of some tasks. Return the number of runs.

    Call it in the transaction that changes the tasks, after it has locked or updated them. A task
    that stays active, and whose next moment is known, is due again at the first withdrawn one.

    Args:
        tasks: the query set of all tasks.
        pks: the keys of the tasks.
        repairs: whether the caller repairs the tasks because the clock was set back. Others leave
            what was planned before that, which may have been due: the repair follows in seconds.
    """
    return sum(
        _withdraw_batch(tasks, pks[start : start + BATCH], now, repairs)
        for start in range(0, len(pks), BATCH)
    )


def withdraw_outdated(
    tasks: QuerySet[TaskRecord], now: datetime, pks: Sequence[int] | None = None
) -> int:
    """Withdraw what was planned ahead of tasks that were changed since. Return how many runs.

    Args:
        tasks: the query set of all tasks.
        pks: the keys of the tasks to check; by default, all.
    """
    return withdraw(tasks, outdated_tasks(tasks.db, tasks.model, now, pks), now)


def _withdraw_batch(
    tasks: QuerySet[TaskRecord], pks: Sequence[int], now: datetime, repairs: bool
) -> int:
    using, runs = tasks.db, rows_of(tasks.model.run_model, tasks.db)
    entries = QueuedRun.objects.using(using).filter(planned_ahead(now), task_id__in=pks)
    ahead = runs.listed(entries).filter(
        state=RunState.QUEUED, origin=Origin.SCHEDULE, attempt=0, due_at__gt=now
    )
    if not repairs:
        ahead = ahead.filter(planned_at__lte=now + LATEST_READING)
    with transaction.atomic(using=using):
        # A worker may have started some of them before they were locked.
        locked = runs.filter(pk__in=ahead.lock(), state=RunState.QUEUED)
        withdrawn = list(locked.select_related("task").order_by("due_at"))
        if withdrawn:
            runs.filter(pk__in=[run.pk for run in withdrawn]).delete()
            _take_back(tasks, runs, withdrawn, now)
            send(signals.run_withdrawn, withdrawn, using)
            # What still applies must be planned again before it is due.
            send_changed(tasks.model, using)
    return len(withdrawn)


def _take_back(
    tasks: QuerySet[TaskRecord],
    runs: RunRows[Any],
    withdrawn: Collection[RunRecord],
    now: datetime,
) -> None:
    """Let the tasks be as they were before the withdrawn runs were planned."""
    moments: dict[int | None, list[datetime]] = defaultdict(list)
    for run in withdrawn:
        moments[run.task_id].append(run.due_at)
    of_task = runs.filter(task=OuterRef("pk")).exclude(due_at=None)
    last = of_task.exclude(state=RunState.MISSED).order_by("-due_at").values("due_at")[:1]
    chosen = list(
        tasks.filter(pk__in=list(moments)).annotate(
            newest=Subquery(last), has_others=Exists(of_task)
        )
    )
    first = [moments[task.pk][0] for task in chosen]
    update_rows(
        tasks.db,
        tasks.model,
        [task.pk for task in chosen],
        Update(
            assign={
                "planned_until": [_planned_until(task, moments[task.pk], now) for task in chosen],
                "last_run": [task.newest for task in chosen],
                "next_run": [
                    due if task.state == TaskState.ACTIVE and task.next_run else task.next_run
                    for task, due in zip(chosen, first, strict=True)
                ],
            },
            add={"runs_planned": [-len(moments[task.pk]) for task in chosen]},
        ),
    )


def _planned_until(task: Any, withdrawn: Sequence[datetime], now: datetime) -> datetime | None:
    """Return up to where a task is planned without the withdrawn runs; None if it never was."""
    if not _was_planned(task, withdrawn):
        return None
    # By another schedule, it may be due before the first of them. A run that has started stays.
    until = min(now, just_before(withdrawn[0]))
    return until if task.newest is None else max(until, task.newest)


def _was_planned(task: Any, withdrawn: Sequence[datetime]) -> bool:
    """Return whether a task was planned before the runs that are withdrawn."""
    # Its earlier rows may have been pruned.
    return bool(task.has_others or task.runs_planned > len(withdrawn))
