"""Runs that make good what failed or never ran; none of them touches the schedule.

They are rows beside the schedule's own: no due moment of the schedule is planned by them, so that
a second chain of runs cannot come to be.
"""

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Min, Q

from sisy.models import locking
from sisy.models.choices import LIVE_STATES, Origin, Overlap, RunState, TaskState
from sisy.models.run import Run
from sisy.models.submission import carry_out_if_eager, store
from sisy.models.timing import Timing
from sisy.models.validators import json_dict
from sisy.schedules.calendar import just_before

if TYPE_CHECKING:
    from sisy.models.task import Task

BACKFILL_LIMIT = 10_000  # occurrences that one backfill runs at most


def retry(run: Run, using: str, now: datetime) -> Run:
    """Submit another run for what ``run`` stood for.

    Both it and its task are looked at anew: ``run`` may come from a replica.

    Raises:
        ValueError: ``run`` is not over, stands for several occurrences, or has data that are
            nested too deeply.
    """
    run = Run.objects.using(using).select_related("task").filter(pk=run.pk).first() or run
    if run.state in LIVE_STATES:
        raise ValueError(f"{run} is {run.get_state_display()}. Only finished runs can be retried.")
    if run.count > 1:
        raise ValueError(
            f"{run} stands for {run.count} missed occurrences. Run them with "
            "task.backfill(run.due_at, run.due_until + timedelta(microseconds=1))."
        )
    with transaction.atomic(using=using):
        again = Run.of(
            run.task or _task_for_once(run, using),
            now=now,
            origin=Origin.RETRY,
            payload=json_dict(run.payload),
            occurrence_at=run.occurrence_at or run.due_at,
            retry_of=run,
        )
        stored = store([again], using)
    carry_out_if_eager(stored, using)
    return stored[0]


def _task_for_once(run: Run, using: str) -> "Task":
    """Return a task like the one of ``run``, which was deleted; it goes after this run."""
    from sisy.models.task import Task

    task = Task(
        label=run.label,
        target_path=run.target_path,
        target_pk=run.target_pk,
        _extra_data=run.payload,
        schedule="",
        overlap=Overlap.ALLOW,
        queue=run.queue,
        priority=run.priority,
        state=TaskState.RETIRED,
    )
    task.save(using=using)
    return task


def backfill(
    task: "Task", start: datetime, end: datetime, using: str, now: datetime, again: bool
) -> list[Run]:
    """Submit a run for each occurrence from ``start`` to ``end`` that is to be made good.

    Raises:
        ValueError: see `to_backfill`.
    """
    with transaction.atomic(using=using):
        # Locked, so that of two backfills of the same range one finds what the other submitted.
        locking.lock(type(task).objects.using(using).filter(pk=task.pk))
        moments = to_backfill(task, start, end, using, now, again)
        runs = [
            Run.of(task, now=now, origin=Origin.BACKFILL, occurrence_at=moment)
            for moment in moments
        ]
        stored = store(runs, using)
    carry_out_if_eager(stored, using)
    return stored


def to_backfill(
    task: "Task", start: datetime, end: datetime, using: str, now: datetime, again: bool
) -> list[datetime]:
    """Return the occurrences from ``start`` to before ``end`` that are to be made good.

    Args:
        again: whether those count, too, that have succeeded or are queued or running.

    Raises:
        ScheduleError: the task's schedule or time zone cannot be used.
        ValueError: the range is no range in the past, holds more than 10,000 occurrences, or
            reaches back to where the ledger was pruned.
    """
    if not start < end <= now:
        raise ValueError(
            f"start ({start}) must be before end ({end}), and both must be in the past (now: "
            f"{now})."
        )
    if not task.schedule:
        raise ValueError(f"{task} runs once and has no schedule, so there is nothing to backfill.")
    moments = _occurrences(task, start, end)
    if again:
        return moments
    _refuse_pruned(task, start, using)
    within = Q(due_at__gte=start, due_at__lt=end) | Q(
        occurrence_at__gte=start, occurrence_at__lt=end
    )
    kept = Run.objects.using(using).filter(within, task=task.pk)
    settled = kept.filter(state__in=[*LIVE_STATES, RunState.SUCCEEDED])
    done = {
        occurrence_at or due
        for occurrence_at, due in settled.values_list("occurrence_at", "due_at")
    }
    return [moment for moment in moments if moment not in done]


def _occurrences(task: "Task", start: datetime, end: datetime) -> list[datetime]:
    due = Timing.of(task).schedule.between(just_before(start), just_before(end))
    moments = list(islice(due, BACKFILL_LIMIT + 1))
    if len(moments) > BACKFILL_LIMIT:
        raise ValueError(
            f"{task} has more than {BACKFILL_LIMIT} occurrences from {start} to {end}. "
            f"Backfill in parts: the first {BACKFILL_LIMIT} are before {moments[BACKFILL_LIMIT]}."
        )
    return moments


def _refuse_pruned(task: "Task", start: datetime, using: str) -> None:
    if not type(task).objects.using(using).exclude(pruned={}).filter(pk=task.pk).exists():
        return
    kept = Run.objects.using(using).filter(task=task.pk, due_at__isnull=False)
    oldest = kept.aggregate(oldest=Min("due_at"))["oldest"]
    if oldest is None or start < oldest:
        raise ValueError(
            f"The history of {task} before {oldest} was pruned, so it is unknown what ran then. "
            "Start later, or pass again=True to run all occurrences of the range."
        )
