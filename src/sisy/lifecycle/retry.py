"""Retry runs by hand: submit another run for one that has finished."""

from datetime import datetime
from typing import TYPE_CHECKING, cast

from django.db import transaction

from sisy.lifecycle.submit import execute_if_eager, store
from sisy.models.choices import LIVE_STATES, Origin, Overlap, TaskState
from sisy.models.validators import json_dict

if TYPE_CHECKING:
    from sisy.models.run import Run
    from sisy.models.task import Task


def retry(run: "Run", using: str, now: datetime) -> "Run":
    """Submit another run for the occurrence of ``run``, and return it.

    Raises:
        ValueError: ``run`` is not over, stands for several occurrences, or has data that are
            nested too deeply.
    """
    # Read again, with its task, since `run` may come from a replica.
    runs = type(run).objects.using(using).select_related("task")
    run = runs.filter(pk=run.pk).first() or run
    if run.state in LIVE_STATES:
        raise ValueError(f"{run} is {run.get_state_display()}. Only finished runs can be retried.")
    if run.count > 1:
        raise ValueError(
            f"{run} stands for {run.count} missed occurrences. Run them with "
            "task.backfill(run.due_at, run.due_until + timedelta(microseconds=1))."
        )
    with transaction.atomic(using=using):
        again = type(run).of(
            run.task or _task_for_once(run, using),
            now=now,
            origin=Origin.RETRY,
            payload=json_dict(run.payload),
            occurrence_at=run.occurrence_at or run.due_at,
            retry_of=run,
        )
        stored = store([again], using)
    execute_if_eager(stored, using)
    return stored[0]


def _task_for_once(run: "Run", using: str) -> "Task":
    """Save a task like the one of ``run``, which was deleted; it is deleted after this run."""
    model = cast("type[Task]", run._meta.get_field("task").related_model)
    task = model(
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
