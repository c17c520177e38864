"""Runs as results of ``django.tasks``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from sisy.callables import task_at
from sisy.django_tasks.compat import (
    AnyResult,
    AnyTask,
    InvalidTask,
    InvalidTaskBackend,
    TaskError,
    TaskResultStatus,
)
from sisy.django_tasks.payload import Payload
from sisy.models import Attempt, Run, RunState

RESULT_ID = re.compile(r"run-([0-9]{1,19})")
LARGEST_KEY = 2**63 - 1

STATUS = {
    RunState.QUEUED: TaskResultStatus.READY,
    RunState.RUNNING: TaskResultStatus.RUNNING,
    RunState.SUCCEEDED: TaskResultStatus.SUCCESSFUL,
}
"""A run in any other state has finished without success."""

WITHOUT_ERROR = {
    RunState.CANCELLED: "sisy.exceptions.RunCancelled",
    RunState.LOST: "sisy.exceptions.RunLost",
}
"""The exceptions of runs that ended without an exception of their function."""


@dataclass(frozen=True, slots=True)
class NotStored:
    """Stands for a return value that was not stored.

    Attributes:
        reason: a sentence.
    """

    reason: str


class RunResult(AnyResult):
    """The result of a run."""

    __slots__ = ()

    @property
    def return_value(self) -> Any:
        """The return value of the task.

        Raises:
            ValueError: the task has not succeeded, or its return value was not stored.
        """
        value = super().return_value
        if isinstance(value, NotStored):
            raise ValueError(value.reason)
        return value


def result_of(
    run: Run, task: AnyTask | None = None, data: dict[str, Any] | None = None
) -> AnyResult:
    """Return a run as a result; query earlier attempts if the run may have any.

    Args:
        task: the enqueued task; by default, it is imported by its path.
        data: the data stored with the run; by default, its payload.

    Raises:
        CallableError: the task does not exist, or is not a task of ``django.tasks``.
    """
    payload = Payload.read(run.payload if data is None else data)
    if task is None:
        task = _task_of(run, payload)
    attempts: Sequence[Attempt] = list(Attempt.before(run)) if _may_have_failed(run) else []
    started = [attempt.started_at for attempt in attempts if attempt.started_at is not None]
    status = STATUS.get(RunState(run.state), TaskResultStatus.FAILED)
    workers = [attempt.worker_name for attempt in attempts]
    if run.attempt > len(attempts):
        workers.append(run.worker_name)
    result = RunResult(
        task=task,
        id=f"run-{run.pk}",
        status=status,
        enqueued_at=_moment(run.planned_at),
        started_at=_moment(started[0] if started else run.started_at),
        last_attempted_at=_moment(run.started_at or (started[-1] if started else None)),
        finished_at=_moment(run.finished_at),
        args=payload.args,
        kwargs=payload.kwargs,
        backend=task.backend,
        errors=[*map(_error_of, attempts), *_errors_at_last(run, status)],
        worker_ids=workers,
    )
    if status == TaskResultStatus.SUCCESSFUL:
        is_stored = run.result is not None or not run.reason
        value = run.result if is_stored else NotStored(run.reason)
        object.__setattr__(result, "_return_value", value)
    return result


def key_in(result_id: object) -> int | None:
    """Return the key of the run with a result id; None if the id is not valid."""
    found = RESULT_ID.fullmatch(str(result_id))
    return int(found[1]) if found and int(found[1]) <= LARGEST_KEY else None


def _may_have_failed(run: Run) -> bool:
    """Return whether the run may have had attempts before the current one."""
    goes_well = run.state in (RunState.RUNNING, RunState.SUCCEEDED)
    return run.attempt > 1 or (run.attempt == 1 and not goes_well)


def _task_of(run: Run, payload: Payload) -> AnyTask:
    task: AnyTask = task_at(run.target_path)  # type: ignore[assignment]
    if payload.backend is None:
        return task
    run_after = None if payload.run_after is None else _moment(payload.run_after)
    enqueued = (run.priority, run.queue, run_after, payload.backend)
    if enqueued == (task.priority, task.queue_name, task.run_after, task.backend):
        return task  # as nearly always; a copy would be validated again
    options: dict[str, Any] = {
        "priority": run.priority,
        "queue_name": run.queue,
        "run_after": run_after,
        "backend": payload.backend,
    }
    try:
        return task.using(**options)
    except (InvalidTask, InvalidTaskBackend):
        # The project has removed the queue or the alias from TASKS since the task was enqueued.
        return _unchecked(task, options)


def _unchecked(task: AnyTask, options: dict[str, Any]) -> AnyTask:
    """Return a copy of a task with other options, which its backend does not check."""
    copy = object.__new__(type(task))
    for field in fields(task):
        value = options.get(field.name, getattr(task, field.name))
        object.__setattr__(copy, field.name, value)
    return copy


def _errors_at_last(run: Run, status: TaskResultStatus) -> list[TaskError]:
    return [_error_of(run)] if status == TaskResultStatus.FAILED else []


def _error_of(ended: Run | Attempt) -> TaskError:
    raised = ended.error_class if ended.state in (RunState.FAILED, RunState.TIMED_OUT) else ""
    state = RunState(ended.state)
    return TaskError(
        exception_class_path=raised or WITHOUT_ERROR.get(state, "sisy.exceptions.SisyError"),
        traceback=ended.error if raised else ended.reason,
    )


def _moment(moment: datetime | None) -> datetime | None:
    """Return a moment as Django does in this project: naive without ``USE_TZ``."""
    if moment is None or settings.USE_TZ:
        return moment
    return timezone.make_naive(moment, timezone.get_default_timezone())
