"""Retry runs: queue a failed run for its next attempt, or submit another run by hand."""

import random
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q

from sisy import conf, signals
from sisy.lifecycle.submit import execute_if_eager, store
from sisy.lifecycle.task_state import without_schedule
from sisy.lifecycle.transition import QUEUED_AGAIN, Transition, attempt_of, send
from sisy.records.choices import LIVE_STATES, Origin, Overlap, RunState
from sisy.records.outcome import Outcome
from sisy.records.run import RunRecord
from sisy.records.small_tables import QueuedRun, RunningRun
from sisy.records.task import TaskRecord
from sisy.records.validators import LONGEST, json_dict
from sisy.runtime.checkpoint import checkpoint
from sisy.store.locking import lock
from sisy.store.run_queries import rows_of

LARGEST_GROWTH = 1e9
MAX_LIVE_READ = 1000  # the newest live runs of a task, among which a retry is found


def may_retry(run: RunRecord, state: str) -> bool:
    """Return whether a run whose attempt ended in ``state`` has attempts left."""
    is_failure = state in (RunState.FAILED, RunState.TIMED_OUT)
    return is_failure and run.task is not None and failures(run) < run.task.max_attempts


def queue_retry(using: str, run: RunRecord, outcome: Outcome, now: datetime) -> None:
    """Queue a failed run for its next attempt, and keep a record of this one.

    Call it in the transaction that has locked the run.
    """
    attempt_of(
        run,
        state=outcome.state,
        reason=outcome.reason,
        error=outcome.error,
        error_class=outcome.error_class,
        started_at=outcome.started_at,
        finished_at=outcome.finished_at,
    ).save(using=using, force_insert=True)
    checkpoint("retry: attempt kept")
    queued = Transition(
        {
            **QUEUED_AGAIN,
            "ready_at": now + retry_delay(run),
            # The reason does not name the delay: ready_at says when the next attempt starts.
            "reason": f"Attempt {run.attempt} failed: {outcome.reason}"[:500],
            "error": outcome.error,
            "error_class": outcome.error_class,
        }
    )
    # The object keeps its process. The process is part of the fence if the commit fails and the
    # worker records the outcome again.
    queued.write(rows_of(type(run), using).filter(pk=run.pk), process=None)
    queued.note([run])
    checkpoint("retry: run queued")
    send(signals.run_retrying, [run], using, exceptions={run.pk: outcome.raised})


def retry_delay(run: RunRecord) -> timedelta:
    """Return a random delay between zero and a maximum that grows with each failed attempt."""
    task = run.task
    assert task is not None
    try:
        growth = min(task.retry_backoff ** (failures(run) - 1), LARGEST_GROWTH)
    except OverflowError:
        growth = LARGEST_GROWTH
    seconds = task.retry_delay.total_seconds() * growth
    longest = min(seconds, task.retry_max_delay.total_seconds())
    # Only save() checks these values. Whatever they are, the outcome must be stored.
    longest = min(max(0.0, longest), LONGEST.total_seconds())
    # Full jitter: runs that failed together, say in an outage, are not all retried together.
    return timedelta(seconds=random.uniform(0, longest))


def failures(run: RunRecord) -> int:
    """Return how many attempts of a run have failed, if its current one does."""
    # An attempt that was lost with its worker is not a failure of the function.
    return run.attempt - run.times_lost


def retry(run: RunRecord, using: str, now: datetime) -> RunRecord:
    """Submit another run for the occurrence of ``run``, and return it.

    Raises:
        ValueError: ``run`` has not finished, is being retried, represents several occurrences,
            or has data that are nested too deeply.
    """
    # Read again, with its task, since `run` may come from a replica.
    runs = rows_of(type(run), using).select_related("task")
    run = runs.filter(pk=run.pk).first() or run
    if run.state in LIVE_STATES:
        raise ValueError(f"{run} is {run.get_state_display()}. Only finished runs can be retried.")
    if run.count > 1:
        behind = run.due_until and run.due_until + timedelta(seconds=1)
        raise ValueError(
            f"{run} records {run.count} missed occurrences, so it cannot be retried. Backfill its "
            f"task from {run.due_at} to {behind} instead."
        )
    with transaction.atomic(using=using):
        # Two people who retry the same run at once: the second one finds the retry of the first.
        lock(rows_of(type(run), using).filter(pk=run.pk))
        if (live := _live_retry(run, using)) is not None:
            raise ValueError(f"{run} is being retried: {live} is {live.get_state_display()}.")
        again = _task_of(run, using).new_run(
            now=now,
            origin=Origin.RETRY,
            payload=json_dict(run.payload),
            occurrence_at=run.occurrence_at or run.due_at,
            retry_of=run,
        )
        stored = store([again], using)
    execute_if_eager(stored, using)
    return stored[0]


def _live_retry(run: RunRecord, using: str) -> RunRecord | None:
    """Return the queued or running retry of a run, if there is one."""
    # No index leads from a run to its retries. They are runs of its task, or of a copy of it.
    tasks: list[Any] = [run.task_id]
    if run.task is None:
        copies = _task_model(run).objects.using(using).filter(label=run.label)
        tasks = list(copies.filter(target_path=run.target_path).values_list("pk", flat=True))
    keys: list[int] = []
    tables: tuple[Any, ...] = (QueuedRun, RunningRun)
    for table in tables:
        entries = table.objects.using(using).filter(task_id__in=tasks, run_id__gt=run.pk)
        keys += entries.order_by("-run_id").values_list("run_id", flat=True)[:MAX_LIVE_READ]
    return rows_of(type(run), using).filter(Q(retry_of=run.pk), pk__in=keys).first()


def _task_model(run: RunRecord) -> Any:
    return run._meta.get_field("task").related_model


def _task_of(run: RunRecord, using: str) -> TaskRecord:
    """Return the task of ``run``, or save one like it, without a schedule, if it was deleted.

    The new one is deleted after its next run.
    """
    if run.task is not None:
        return run.task
    task: TaskRecord = _task_model(run)(
        label=run.label,
        target_path=run.target_path,
        target_pk=run.target_pk,
        _extra_data=run.payload,
        overlap=Overlap.ALLOW,
        queue=run.queue,
        priority=run.priority,
        engine=conf.get_settings().engine_of(run.engine),
    )
    without_schedule(task)
    task.save(using=using)
    return task
