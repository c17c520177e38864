"""Start, stop and restart planning, for one task or for many that are created at once."""

from collections.abc import Sequence
from datetime import datetime

from django.db import connections, transaction
from django.db.models import QuerySet

from sisy import clock
from sisy.exceptions import ScheduleError
from sisy.lifecycle import task_state
from sisy.lifecycle.task_state import START_COLUMNS, Start
from sisy.lifecycle.withdraw import withdraw
from sisy.planning import timing
from sisy.planning.overdue import settle_overdue
from sisy.records.choices import TaskState
from sisy.records.task import TaskRecord
from sisy.records.task_change import STATE_FIELDS, note_change, states_of
from sisy.records.validators import future_moment
from sisy.store import locking
from sisy.store.bulk import Update, insert_many, update_rows

BATCH = 1000

PAUSED = (
    "The task was paused before a heartbeat planned it. Occurrences during a pause do not run."
)


def start_of(task: TaskRecord, since: datetime) -> Start:
    """Return the columns of a task that is planned from ``since``."""
    try:
        due = timing.first_due(task, since)
    except ScheduleError as error:
        return Start.broken(since, str(error))
    if due is not None and not task.is_used_up:
        return Start.active(since, due)
    # If its last occurrence is planned ahead, it retires when that falls due.
    last = timing.ahead_until(task, since)
    return Start.retired(since) if last is None else Start.active(since, last)


def activate(task: TaskRecord, using: str, now: datetime) -> None:
    """Plan a task that was just inserted.

    Raises:
        ValueError: its window has no occurrence.
    """
    if task.state == TaskState.ACTIVE:
        check_window(task, now)
        reschedule(task, using, now)


def check_window(task: TaskRecord, now: datetime) -> None:
    """Check that a task will be due.

    Raises:
        ScheduleError: its schedule or time zone is invalid.
        ValueError: its window has no occurrence from ``now``.
    """
    if timing.first_due(task, now) is None:
        raise ValueError(
            f"{task.schedule!r} has no future occurrence{_window(task)}. Widen the window, or "
            "change the schedule."
        )


def _window(task: TaskRecord) -> str:
    start = task.start_running and f"start_running ({task.start_running.isoformat()})"
    end = task.end_running and f"end_running ({task.end_running.isoformat()})"
    if start and end:
        return f" between {start} and {end}"
    return f" before {end}" if end else f" after {start}" if start else ""


def reschedule(task: TaskRecord, using: str, now: datetime) -> None:
    """Plan a task from ``now``, unless it is paused or has no schedule."""
    _start(task, _locked(task, using), using, now)


def recount(task: TaskRecord, using: str, now: datetime) -> None:
    """Retire or activate a task, as its changed number of iterations requires."""
    locked = _locked(task, using)
    # A task that stays active keeps its next occurrence, even if that is due already.
    if locked.state != TaskState.ACTIVE or locked.is_used_up:
        _start(task, locked, using, now)


def revive(task: TaskRecord, using: str, now: datetime) -> None:
    """Plan a task from ``now`` if it is broken. Call it when its target has changed."""
    locked = _locked(task, using)
    if locked.state == TaskState.BROKEN:
        _start(task, locked, using, now)


def _locked(task: TaskRecord, using: str) -> TaskRecord:
    return type(task)._default_manager.using(using).select_for_update().get(pk=task.pk)


def _start(task: TaskRecord, locked: TaskRecord, using: str, now: datetime) -> None:
    """Plan a task by its locked row, and show the result on ``task``."""
    if locked.state == TaskState.PAUSED or not locked.schedule:
        return
    start = start_of(locked, now)
    store_starts(using, [(locked, start)])
    start.apply_to(task)
    task_state.send_changed(type(task), using)


def store_starts(using: str, starts: Sequence[tuple[TaskRecord, Start]]) -> None:
    """Write the starts of locked tasks, in one statement."""
    if not starts:
        return
    tasks = [task for task, _ in starts]
    for task, start in starts:
        start.apply_to(task)
    update_rows(
        using,
        type(tasks[0]),
        [task.pk for task in tasks],
        Update(
            assign={name: [getattr(task, name) for task in tasks] for name in START_COLUMNS},
            compute={"timing_fingerprint": timing.fingerprint()},
        ),
    )
    if retired := [task for task in tasks if task.state == TaskState.RETIRED]:
        task_state.send_retired(retired, using)


def pause(task: TaskRecord, using: str, reason: str, until: datetime | None = None) -> bool:
    """Stop planning a task. Return False if it was not active.

    Args:
        until: when a heartbeat resumes it; None if only a person does.

    Raises:
        ValueError: ``until`` is naive where the project uses time zones, or has passed.
    """
    if until is not None:
        until = future_moment(until, "until", clock.now(using), "pause until you resume it")
    paused = task_state.paused(reason, until)
    with transaction.atomic(using=using):
        this = type(task)._default_manager.using(using).filter(pk=task.pk)
        locking.lock(this)
        # The clock is read after the lock, which may have waited: what fell due in the meantime
        # counts.
        now = clock.now(using)
        settle_overdue(using, this, now, PAUSED)
        was_active = bool(paused.write(this.filter(state=TaskState.ACTIVE)))
        if was_active:
            withdraw(type(task)._default_manager.using(using), [task.pk], now)
            note_change(using, task.pk, task_state.UNPAUSED, states_of(paused.columns), now)
            task_state.send_changed(type(task), using)
    if was_active:
        paused.note([task])
    return was_active


def resume(task: TaskRecord, using: str) -> bool:
    """Plan a task from now on. Return False if it was neither paused nor broken."""
    with transaction.atomic(using=using):
        tasks = type(task)._default_manager.using(using)
        resumable = tasks.filter(pk=task.pk, state__in=[TaskState.PAUSED, TaskState.BROKEN])
        before = resumable.select_for_update().values(*STATE_FIELDS).first()
        if before is None:
            return False
        task_state.active().write(resumable)
        # The clock is read after the lock, which may have waited.
        now = clock.now(using)
        reschedule(task, using, now)
        after = {name: getattr(task, name) for name in STATE_FIELDS}
        note_change(using, task.pk, states_of(before), states_of(after), now)
    return True


def create(
    tasks: QuerySet[TaskRecord], new: Sequence[TaskRecord], batch_size: int | None, now: datetime
) -> None:
    """Check, insert and plan tasks, all or none.

    Args:
        tasks: the query set of their model and database.

    Raises:
        ScheduleError, CallableError, ValueError: as for `Task.save`; the message begins with the
            position of the task in ``new``.
    """
    using = tasks.db
    connection = connections[using]
    for number, task in enumerate(new):
        _prepare(task, number, now)
    if not connection.features.can_return_rows_from_bulk_insert:
        # Without their keys, the rows cannot be given a fingerprint. The next tick plans them.
        for task in new:
            task.next_run = None
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
                task.remember_inserted(connections[using], given)
        task_state.send_changed(tasks.model, using)


def _prepare(task: TaskRecord, number: int, now: datetime) -> None:
    """Check an unsaved task, and set the columns with which its planning starts."""
    try:
        task_state.prepare_insert(task, now)
        if task.state == TaskState.ACTIVE:
            check_window(task, now)
            start_of(task, now).apply_to(task)
    except ValueError as error:
        raise type(error)(f"objs[{number}], {task.label!r:.100}: {error}") from error
