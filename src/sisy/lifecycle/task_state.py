"""The transitions of a task: the only code that writes its state.

::

    (new) ── insert ───────────────────► active, or paused if it is saved as such
    (new) ── insert for single runs ───► retired
    active ── pause ───────────────────► paused
    active ── break ───────────────────► broken
    active ── last occurrence is due ──► retired                         task_retired
    paused, broken ── resume ──────────► active, broken or retired       task_retired
    paused ── its pause has ended ─────► active
    any but paused ── change when it is due ──► the same
    broken ── change its target ───────► the same
    retired ── give it more iterations ► the same
    retired ── skip a run that counts as an iteration ──► active

`sisy.planning.activation` computes where planning starts, which decides between these states.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, cast

from django.db.models import BigIntegerField, Case, CharField, F, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

from sisy import signals
from sisy.lifecycle.transition import Transition
from sisy.records.choices import TaskState
from sisy.records.fields import MomentField
from sisy.records.instances import reset
from sisy.records.task import TaskRecord, check_new
from sisy.records.task_fields import SCHEDULER_FIELDS
from sisy.runtime import signal_dispatch

UNPAUSED: Mapping[str, Any] = {
    "state": TaskState.ACTIVE.value,
    "state_reason": "",
    "paused_until": None,
}
"""The columns that a pause changes, as JSON, of a task that is not paused."""

NO_LIMIT = Value(2**62, BigIntegerField())
"""More than any number of iterations."""

RESET_BY_INSERTION = SCHEDULER_FIELDS - {"state"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The columns of a task when its planning starts."""

    planning_since: datetime
    next_run: datetime | None
    state: TaskState
    state_reason: str = ""
    paused_until: datetime | None = None

    @classmethod
    def active(cls, since: datetime, due: datetime) -> "Start":
        """Return the columns of a task that is next due at ``due``."""
        return cls(planning_since=since, next_run=due, state=TaskState.ACTIVE)

    @classmethod
    def retired(cls, since: datetime) -> "Start":
        """Return the columns of a task without a further occurrence."""
        return cls(planning_since=since, next_run=None, state=TaskState.RETIRED)

    @classmethod
    def broken(cls, since: datetime, reason: str) -> "Start":
        """Return the columns of a task that cannot be planned."""
        return cls(
            planning_since=since,
            next_run=None,
            state=TaskState.BROKEN,
            state_reason=reason[:500],
        )

    def apply_to(self, task: TaskRecord) -> None:
        """Set the columns on a task in memory."""
        for name in START_COLUMNS:
            setattr(task, name, getattr(self, name))


START_COLUMNS = tuple(field.name for field in fields(Start))


def prepare_insert(task: TaskRecord, now: datetime) -> None:
    """Check an unsaved task, and reset the scheduler's columns, which a copy of a task has.

    Raises:
        ValueError: as for `Task.save`.
    """
    check_new(task)
    reset(task, RESET_BY_INSERTION)
    if task.state != TaskState.PAUSED and task.schedule:
        task.state = TaskState.ACTIVE
    task.created_at = now


def without_schedule(task: TaskRecord) -> None:
    """Make an unsaved task have only submitted runs, after which it is deleted."""
    task.schedule = ""
    task.state = TaskState.RETIRED


def planned(next_run: datetime | None) -> TaskState:
    """Return the state of a task that was planned. It is retired if no occurrence is left."""
    return TaskState.RETIRED if next_run is None else TaskState.ACTIVE


def paused(reason: str, until: datetime | None = None) -> Transition:
    """Return the transition of an active task that is paused.

    Args:
        until: when a heartbeat resumes it; None if only a person does.
    """
    return Transition(
        {
            "state": TaskState.PAUSED,
            "state_reason": reason[:500],
            "paused_until": until,
            "next_run": None,
        }
    )


def pause_ended(until: datetime) -> Transition:
    """Return the transition of a task that was paused until a moment. The tick plans it from then.

    An occurrence at that very moment is planned as well.
    """
    since = Value(until - timedelta.resolution, MomentField())
    # A first run that does not wait for the schedule is due when its planning starts.
    ends = Value(until, MomentField())
    owes_first = When(planned_until=None, wait_for_schedule=False, then=ends)
    planning_since = Case(owes_first, default=since)
    return active(state_reason="", paused_until=None, planning_since=planning_since)


def broken(reason: str) -> Transition:
    """Return the transition of a task that cannot be planned, or whose object is gone.

    The heartbeat plans it again when its timing or its target is corrected.
    """
    return Transition({"state": TaskState.BROKEN, "state_reason": reason[:500], "next_run": None})


def active(**columns: Any) -> Transition:
    """Return the transition of a task that the next tick plans, unless the caller does.

    Args:
        columns: what else to write.
    """
    return Transition({"state": TaskState.ACTIVE, **columns})


def plan_anew(tasks: QuerySet[Any], now: datetime) -> None:
    """Plan tasks from ``now`` on at the next tick, unless they are paused."""
    active().write(tasks.filter(state__in=[TaskState.BROKEN, TaskState.RETIRED]))
    tasks.update(next_run=None, planning_since=now)


def when_timing_changes(now: datetime) -> Mapping[str, Any]:
    """Return what to write with new timing columns, so that the next tick plans the tasks."""
    can_be_planned = Q(state__in=[TaskState.BROKEN, TaskState.RETIRED]) & ~Q(schedule="")
    becomes_active = When(can_be_planned, then=Value(TaskState.ACTIVE.value))
    # The state comes first: in MySQL, an expression sees the columns set before it.
    return {
        "state": Case(becomes_active, default=F("state")),
        "next_run": None,
        "planning_since": now,
    }


def when_iterations_change(iterations: Any, now: datetime) -> Mapping[str, Any]:
    """Return what to write with ``iterations``, so that the next tick plans tasks that have more.

    Args:
        iterations: the new value or an expression; None for no limit.
    """
    has_more = Q()
    if iterations is not None:
        limit = Value(iterations) if isinstance(iterations, int) else iterations
        has_more = Q(runs_planned__lt=Coalesce(limit, NO_LIMIT, output_field=BigIntegerField()))
    is_retired = Q(has_more, state=TaskState.RETIRED) & ~Q(schedule="")
    # The state comes last: in MySQL, an expression sees the columns that were set before it.
    return {
        "planning_since": Case(
            When(is_retired, then=Value(now, MomentField())), default=F("planning_since")
        ),
        "state": Case(When(is_retired, then=Value(TaskState.ACTIVE.value)), default=F("state")),
    }


def when_target_changes(now: datetime) -> Mapping[str, Any]:
    """Return what to write with a new target, so that the next tick plans broken tasks."""
    is_broken = Q(state=TaskState.BROKEN) & ~Q(schedule="")
    # The state comes last: in MySQL, an expression sees the columns that were set before it.
    return {
        "planning_since": Case(
            When(is_broken, then=Value(now, MomentField())), default=F("planning_since")
        ),
        "state_reason": Case(
            When(is_broken, then=Value("")), default=F("state_reason"), output_field=CharField()
        ),
        "state": Case(When(is_broken, then=Value(TaskState.ACTIVE.value)), default=F("state")),
        "target_error": "",
    }


def send_changed(model: type[TaskRecord], using: str) -> None:
    """Send `tasks_changed` when the transaction is committed. Heartbeats then plan at once."""
    sender = cast("type[TaskRecord]", model._meta.concrete_model)
    signal_dispatch.send_on_commit(signals.tasks_changed, sender, [{}], using)


def send_retired(tasks: Sequence[TaskRecord], using: str) -> None:
    """Send `task_retired` for each of one or more tasks when the transaction is committed."""
    sender = cast("type[TaskRecord]", tasks[0]._meta.concrete_model)
    news = ({"task": task} for task in tasks)
    signal_dispatch.send_on_commit(signals.task_retired, sender, news, using)
