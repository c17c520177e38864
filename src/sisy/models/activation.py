"""When planning of a task begins, stops, and begins anew."""

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import transaction

from sisy import clock
from sisy.exceptions import ScheduleError
from sisy.models import timing
from sisy.models.choices import TaskState

if TYPE_CHECKING:
    from sisy.models.task import Task


def activate(task: "Task", now: datetime) -> None:
    """Plan a task that was just inserted.

    Raises:
        ValueError: its window holds no occurrence.
    """
    if task.state != TaskState.ACTIVE:
        return
    check_window(task, now)
    plan_anew(task, now)


def check_window(task: "Task", now: datetime) -> None:
    """Refuse a task that would never be due.

    Raises:
        ScheduleError: its schedule or time zone cannot be used.
        ValueError: its window holds no occurrence from ``now`` on.
    """
    if timing.first_due(task, now) is None:
        raise ValueError(
            f"{task.schedule!r} has no occurrence from now on, between "
            f"start_running ({task.start_running}) and end_running ({task.end_running}). "
            "Widen the window, or change the schedule."
        )


def plan_anew(task: "Task", now: datetime) -> None:
    """Compute when a task is due next, from ``now`` on, and store it, unless it is paused."""
    tasks = type(task).objects.using(task._state.db)
    kept = tasks.select_for_update().get(pk=task.pk)
    if kept.state == TaskState.PAUSED:
        return
    store_next(kept, now)
    for column in ("state", "state_reason", "next_run"):
        setattr(task, column, getattr(kept, column))


def store_next(task: "Task", now: datetime) -> None:
    """Write when a task that nobody else can change now is due next, and that it is active.

    One without a further occurrence is retired; one that cannot be planned is set aside as broken.
    """
    reason = ""
    try:
        due = timing.first_due(task, now)
        used_up = task.iterations is not None and task.runs_planned >= task.iterations
        state = TaskState.RETIRED if due is None or used_up else TaskState.ACTIVE
    except ScheduleError as error:
        due, state, reason = None, TaskState.BROKEN, str(error)[:500]
    task.next_run = due if state == TaskState.ACTIVE else None
    task.state, task.state_reason = state, reason
    type(task).objects.using(task._state.db).filter(pk=task.pk).update(
        next_run=task.next_run,
        state=state,
        state_reason=reason,
        planned_as=timing.fingerprint(),
    )


def pause(task: "Task", reason: str) -> bool:
    tasks = type(task).objects.using(task._state.db)
    paused = tasks.active().filter(pk=task.pk)
    won = bool(paused.update(state=TaskState.PAUSED, state_reason=reason[:500], next_run=None))
    if won:
        task.state, task.state_reason, task.next_run = TaskState.PAUSED, reason[:500], None
    return won


def resume(task: "Task") -> bool:
    using = task._state.db
    with transaction.atomic(using=using):
        tasks = type(task).objects.using(using)
        if not tasks.filter(pk=task.pk, state=TaskState.PAUSED).update(state=TaskState.ACTIVE):
            return False
        plan_anew(task, clock.now(using or "default"))
    return True
