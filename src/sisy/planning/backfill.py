"""Submit runs for occurrences of a range in the past."""

from datetime import datetime
from itertools import islice

from django.db import transaction
from django.db.models import Min, Q

from sisy.lifecycle.submit import execute_if_eager, store
from sisy.planning.timing import Timing, next_unplanned
from sisy.records.choices import LIVE_STATES, Origin, RunState, TaskState
from sisy.records.run import RunRecord
from sisy.records.task import TaskRecord
from sisy.runtime.durations import in_zone
from sisy.schedules.calendar import just_before
from sisy.schedules.zones import zone_named
from sisy.store import locking
from sisy.store.run_queries import RunRows, rows_of

BACKFILL_LIMIT = 10_000
"""The maximum number of occurrences in one backfill."""


def backfill(
    task: TaskRecord, start: datetime, end: datetime, using: str, now: datetime, again: bool
) -> list[RunRecord]:
    """Submit a run for each occurrence that `to_backfill` returns, and return the runs.

    Raises:
        ScheduleError, ValueError: as `to_backfill` does.
    """
    with transaction.atomic(using=using):
        # If two backfills of the same range meet, the second one finds the runs of the first.
        locking.lock(type(task)._default_manager.using(using).filter(pk=task.pk))
        runs = [
            task.new_run(now=now, origin=Origin.BACKFILL, occurrence_at=moment)
            for moment in to_backfill(task, start, end, using, now, again)
        ]
        store(runs, using)
    execute_if_eager(runs, using)
    return runs


def to_backfill(
    task: TaskRecord, start: datetime, end: datetime, using: str, now: datetime, again: bool
) -> list[datetime]:
    """Return the occurrences from ``start`` to before ``end`` that a backfill runs.

    Args:
        again: also return those that have succeeded, are queued or running, or are not planned
            yet.

    Raises:
        ScheduleError: the task's schedule or time zone is not valid.
        ValueError: the range is not in the past, has more than 10,000 occurrences, or begins
            before the oldest run that pruning has left in the ledger.
    """
    if not start < end <= now:
        raise ValueError(
            f"start ({_shown(start, task)}) must be before end ({_shown(end, task)}), and both "
            f"must be in the past (now: {_shown(now, task)})."
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
    kept = _runs_of(task, using).filter(within)
    settled = kept.filter(state__in=[*LIVE_STATES, RunState.SUCCEEDED])
    done = {
        occurrence_at or due
        for occurrence_at, due in settled.values_list("occurrence_at", "due_at")
    }
    first = _first_not_planned(task, using)
    return [
        moment for moment in moments if moment not in done and (first is None or moment < first)
    ]


def _first_not_planned(task: TaskRecord, using: str) -> datetime | None:
    """Return the first occurrence without a row in the ledger; None if none will get one.

    Without a heartbeat it may be in the past. The next heartbeat plans it as the task's policy for
    missed occurrences says, so a backfill would run it a second time.
    """
    stored = type(task)._default_manager.using(using).filter(pk=task.pk, state=TaskState.ACTIVE)
    found = stored.first()
    return next_unplanned(found) if found else None


def _runs_of(task: TaskRecord, using: str) -> RunRows[RunRecord]:
    return rows_of(task.run_model, using).filter(task=task.pk)


def _occurrences(task: TaskRecord, start: datetime, end: datetime) -> list[datetime]:
    due = Timing.of(task).between(just_before(start), just_before(end))
    moments = list(islice(due, BACKFILL_LIMIT + 1))
    if len(moments) > BACKFILL_LIMIT:
        raise ValueError(
            f"{task} has more than {BACKFILL_LIMIT:,} occurrences from {_shown(start, task)} to "
            f"{_shown(end, task)}. Backfill in parts: the first {BACKFILL_LIMIT:,} are before "
            f"{_shown(moments[BACKFILL_LIMIT], task)}."
        )
    return moments


def _refuse_pruned(task: TaskRecord, start: datetime, using: str) -> None:
    if not type(task)._default_manager.using(using).exclude(pruned={}).filter(pk=task.pk).exists():
        return
    kept = _runs_of(task, using).filter(due_at__isnull=False)
    oldest = kept.aggregate(oldest=Min("due_at"))["oldest"]
    if oldest is None or start < oldest:
        part = "" if oldest is None else f" before {_shown(oldest, task)}"
        choice = "Rerun" if oldest is None else "Choose a later start, or rerun"
        raise ValueError(
            f"The history of {task}{part} was pruned, so it is unknown what ran in this range. "
            f"{choice} all occurrences ('Rerun all', --again or again=True)."
        )


def _shown(moment: datetime, task: TaskRecord) -> str:
    return in_zone(moment, zone_named(task.timezone))
