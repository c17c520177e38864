"""Writes down how runs ended, and hands back those that did not."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F

from sisy.execution import Outcome
from sisy.log import logger
from sisy.models import Run, RunState, Task, TaskState


def record(using: str, ended: Sequence[tuple[Run, Outcome]], now: datetime) -> None:
    """Store the outcomes of runs that are still their holder's, in one transaction.

    A run that was taken from its holder meanwhile is left as it is.
    """
    with transaction.atomic(using=using):
        for run, outcome in ended:
            columns = _columns(run, outcome, now)
            if not Run.objects.using(using).held([run]).update(**columns):
                logger.warning(
                    "Run %s was taken over; how attempt %s ended is not recorded",
                    run.pk,
                    run.attempt,
                )
        _note_targets(using, ended)
        _delete_ended(using, [run for run, _ in ended])


def give_back(using: str, runs: Sequence[Run], reason: str) -> int:
    """Let other workers have runs that did not end here; no attempt is used up."""
    return (
        Run.objects.using(using)
        .held(runs)
        .update(
            state=RunState.WAITING,
            holder=None,
            attempt=F("attempt") - 1,
            started_at=None,
            reason=reason,
        )
    )


def _columns(run: Run, outcome: Outcome, now: datetime) -> dict[str, Any]:
    if outcome.state in (RunState.FAILED, RunState.TIMED_OUT) and _may_retry(run):
        delay = retry_delay(run)
        again = (
            f"attempt {run.attempt} ended with {outcome.reason}; the next one starts in {delay}"
        )
        return {
            "state": RunState.WAITING,
            "holder": None,
            "ready_at": now + delay,
            "started_at": None,
            "reason": again[:500],
            "error": outcome.error,
        }
    return {
        "state": outcome.state,
        "started_at": outcome.started_at,
        "finished_at": outcome.finished_at,
        "reason": outcome.reason,
        "result": outcome.result,
        "error": outcome.error,
    }


def _may_retry(run: Run) -> bool:
    return run.task is not None and run.attempt - run.times_lost < run.task.max_attempts


def retry_delay(run: Run) -> timedelta:
    """Return a random part of the delay that doubles (by default) with each failed attempt."""
    task = run.task
    assert task is not None
    failures = run.attempt - run.times_lost
    seconds = task.retry_delay.total_seconds() * min(task.retry_backoff ** (failures - 1), 1e9)
    longest = min(seconds, task.retry_max_delay.total_seconds())
    return timedelta(seconds=random.uniform(0, longest))


def _note_targets(using: str, ended: Sequence[tuple[Run, Outcome]]) -> None:
    """Show at the task whether what it calls can no longer be called, so that a person sees it."""
    for run, outcome in ended:
        if run.task is None:
            continue
        seen = run.task.target_error
        found = outcome.reason if outcome.target_is_broken else ""
        if seen != found:
            Task.objects.using(using).filter(pk=run.task.pk).update(target_error=found)


def _delete_ended(using: str, runs: Sequence[Run]) -> None:
    pks = {run.task_id for run in runs if run.task_id is not None}
    tasks = Task.objects.using(using).filter(pk__in=pks, state=TaskState.RETIRED)
    # Asked before each step, since the next one costs much more, also if it finds nothing.
    if tasks.exists() and (ended := list(tasks.ended().values_list("pk", flat=True))):
        tasks.ended().filter(pk__in=ended).delete()
