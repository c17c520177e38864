"""Start, stop and restart the planning of tasks: of one, or of many that are created at once."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, cast

from django.db import connections, transaction
from django.db.models import QuerySet

from sisy import clock, signals
from sisy.exceptions import ScheduleError
from sisy.planning import timing
from sisy.planning.overdue import settle_overdue
from sisy.records.choices import TaskState
from sisy.runtime import signal_dispatch
from sisy.store import locking
from sisy.store.bulk import Update, insert_many, update_rows

if TYPE_CHECKING:
    from sisy.models.task import Task

PAUSED = (
    "The task was paused before a heartbeat planned it. Occurrences during a pause are not "
    "caught up."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """From where on a task is planned, and what becomes of it by that.

    Without a further occurrence it is retired; one that cannot be planned is broken.
    """

    planning_since: datetime
    next_run: datetime | None
    state: TaskState
    state_reason: str = ""

    @classmethod
    def of(cls, task: "Task", since: datetime) -> "Start":
        """Return what becomes of a task that is planned from ``since`` on."""
        try:
            due = timing.first_due(task, since)
        except ScheduleError as error:
            reason = str(error)[:500]
            return cls(
                planning_since=since, next_run=None, state=TaskState.BROKEN, state_reason=reason
            )
        if due is None or task.is_used_up:
            return cls(planning_since=since, next_run=None, state=TaskState.RETIRED)
        return cls(planning_since=since, next_run=due, state=TaskState.ACTIVE)

    def note(self, task: "Task") -> None:
        """Let ``task`` say it, too."""
        for name in STARTED:
            setattr(task, name, getattr(self, name))


STARTED = tuple(field.name for field in fields(Start))
"""The columns of a task that a `Start` decides."""


def store_starts(using: str, starts: Sequence[tuple["Task", Start]]) -> None:
    """Write where tasks start that nobody else can change now, by one statement."""
    if not starts:
        return
    tasks = [task for task, _ in starts]
    for task, start in starts:
        start.note(task)
    update_rows(
        using,
        type(tasks[0]),
        [task.pk for task in tasks],
        Update(
            assign={name: [getattr(task, name) for task in tasks] for name in STARTED},
            compute={"timing_fingerprint": timing.fingerprint()},
        ),
    )
    tell_retired([task for task in tasks if task.state == TaskState.RETIRED], using)


def tell_retired(tasks: "Sequence[Task]", using: str) -> None:
    """Send `task_retired` for each task when the transaction is committed."""
    if tasks:
        sender = cast("type[Task]", tasks[0]._meta.concrete_model)
        news = ({"task": task} for task in tasks)
        signal_dispatch.send_on_commit(signals.task_retired, sender, news, using)


def activate(task: "Task", using: str, now: datetime) -> None:
    """Plan a task that was just inserted.

    Raises:
        ValueError: its window holds no occurrence.
    """
    if task.state == TaskState.ACTIVE:
        check_window(task, now)
        plan_anew(task, using, now)


def plan_unsaved(task: "Task", now: datetime) -> None:
    """Let a task that is about to be inserted say when it is due.

    Raises:
        ScheduleError, ValueError: as `check_window` does.
    """
    if task.state == TaskState.ACTIVE:
        check_window(task, now)
        Start.of(task, now).note(task)


def check_window(task: "Task", now: datetime) -> None:
    """Refuse a task that would never be due.

    Raises:
        ScheduleError: its schedule or time zone cannot be used.
        ValueError: its window holds no occurrence from ``now`` on.
    """
    if timing.first_due(task, now) is None:
        raise ValueError(
            f"{task.schedule!r} has no future occurrence between start_running "
            f"({task.start_running}) and end_running ({task.end_running}). Widen the window, or "
            "change the schedule."
        )


def plan_anew(task: "Task", using: str, now: datetime) -> None:
    """Plan a task from ``now`` on, unless it is paused or runs once."""
    _plan(task, _locked(task, using), using, now)


def recount(task: "Task", using: str, now: datetime) -> None:
    """Retire a task, or let it go on, whose number of iterations has changed.

    One that goes on as before keeps its next occurrence, even if that is due already.
    """
    kept = _locked(task, using)
    if kept.state != TaskState.ACTIVE or kept.is_used_up:
        _plan(task, kept, using, now)


def revive(task: "Task", using: str, now: datetime) -> None:
    """Plan a broken task from ``now`` on, since it has another target."""
    kept = _locked(task, using)
    if kept.state == TaskState.BROKEN:
        _plan(task, kept, using, now)


def _locked(task: "Task", using: str) -> "Task":
    return type(task).objects.using(using).select_for_update().get(pk=task.pk)


def _plan(task: "Task", kept: "Task", using: str, now: datetime) -> None:
    if kept.state == TaskState.PAUSED or not kept.schedule:
        return
    start = Start.of(kept, now)
    store_starts(using, [(kept, start)])
    task.next_run, task.state, task.state_reason = start.next_run, start.state, start.state_reason


def pause(task: "Task", using: str, reason: str) -> bool:
    columns = {"state": TaskState.PAUSED, "state_reason": reason[:500], "next_run": None}
    with transaction.atomic(using=using):
        this = type(task).objects.using(using).filter(pk=task.pk)
        locking.lock(this)
        settle_overdue(using, this, clock.now(using), PAUSED)
        won = bool(this.active().update(**columns))
    if won:
        for name, value in columns.items():
            setattr(task, name, value)
    return won


def resume(task: "Task", using: str) -> bool:
    with transaction.atomic(using=using):
        tasks = type(task).objects.using(using)
        resumable = tasks.filter(pk=task.pk, state__in=[TaskState.PAUSED, TaskState.BROKEN])
        if not resumable.update(state=TaskState.ACTIVE):
            return False
        plan_anew(task, using, clock.now(using))
    return True


BATCH = 1000


def create(tasks: "QuerySet[Task]", new: "Sequence[Task]", batch_size: int | None) -> None:
    """Check, insert and plan tasks, all or none.

    Args:
        tasks: the query set to which they belong.

    Raises:
        ScheduleError, CallableError, ValueError: as `Task.save` does, and says for which one.
    """
    using = tasks.db
    connection = connections[using]
    now = clock.now(using)
    for number, task in enumerate(new):
        _check(task, number, now)
    if not connection.features.can_return_rows_from_bulk_insert:
        for task in new:
            task.next_run = None  # the next tick computes it, for tasks without a known key
    size = batch_size or BATCH
    with transaction.atomic(using=using, savepoint=False):
        for start in range(0, len(new), size):
            batch = new[start : start + size]
            keys_given = [task.pk for task in batch]
            if connection.vendor == "postgresql" and not any(keys_given):
                insert_many(using, batch)
            else:
                QuerySet.bulk_create(tasks, batch)
            keys = [task.pk for task in batch if task.next_run is not None]
            fingerprint = Update(compute={"timing_fingerprint": timing.fingerprint()})
            update_rows(using, tasks.model, keys, fingerprint)
            for task, given in zip(batch, keys_given, strict=True):
                task.remember_inserted(using, given)


def _check(task: "Task", number: int, now: datetime) -> None:
    try:
        task.begin_anew(now)
        plan_unsaved(task, now)
    except ValueError as error:
        raise type(error)(f"objs[{number}], {task.label!r:.100}: {error}") from error
