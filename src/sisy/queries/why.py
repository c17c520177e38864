"""What became of one occurrence of a task, in a sentence: the ledger first, then the schedule."""

from datetime import datetime, timedelta

from django.db.models import Q

from sisy import conf
from sisy.exceptions import ScheduleError
from sisy.models import Process, Role, Run, RunState, Task, TaskState
from sisy.models.timing import RESOLUTION, Timing
from sisy.schedules import Schedule


def why(task: Task, moment: datetime, using: str, now: datetime) -> str:
    """Say what became of the occurrence of ``task`` at ``moment``, or why there was none."""
    run = _row_of(task, moment, using)
    if run is not None:
        return _of_run(run, using)
    try:
        schedule = Schedule(task.schedule, task.timezone, key=task.label)
    except ScheduleError as error:
        return f"Its schedule cannot be used: {error}"
    if schedule.next_after(moment - RESOLUTION) != moment:
        return _not_due(schedule, moment)
    if moment > now:
        return _ahead(task, moment)
    return _never_planned(task, moment, using, now)


def _row_of(task: Task, moment: datetime, using: str) -> Run | None:
    runs = Run.objects.using(using).filter(task=task)
    at_it = Q(due_at=moment) | Q(stands_for=moment)
    within = Q(due_at__lte=moment, due_until__gte=moment)
    return runs.filter(at_it | within).order_by("-pk").first()


def _of_run(run: Run, using: str) -> str:
    if run.state == RunState.MISSED:
        return f"It was missed, one of {run.count} occurrences: {run.reason}"
    if run.state == RunState.SKIPPED:
        return f"It was skipped: {run.reason}"
    number = f"Run {run.pk}"
    if run.state == RunState.WAITING:
        handed = ""
        if run.dispatched_at is not None:
            handed = f", and was handed to {run.engine!r} at {_at(run.dispatched_at)}"
        return f"{number} waits since {_at(run.ready_at)}{handed}{_because(run)}"
    began = "" if run.lateness is None else f", {run.lateness.total_seconds():.3f} s late"
    if run.state == RunState.RUNNING:
        return f"{number} is running on {run.worker}{began}."
    took = "" if run.duration is None else f", and took {run.duration.total_seconds():.3f} s"
    tries = f" in attempt {run.attempt}" if run.attempt > 1 else ""
    return f"{number} {run.state}{tries}{began}{took}{_because(run)}"


def _because(run: Run) -> str:
    return f": {run.reason}" if run.reason else "."


def _not_due(schedule: Schedule, moment: datetime) -> str:
    before, after = schedule.last_until(moment), schedule.next_after(moment)
    words = f"It is not due then by its present schedule, {schedule.expression!r}."
    if before is not None:
        words += f" Before that it was due at {_at(before)}."
    if after is not None:
        words += f" After that it is due at {_at(after)}."
    return words


def _ahead(task: Task, moment: datetime) -> str:
    if task.state != TaskState.ACTIVE:
        return f"It will not run then, unless that changes: it is {task.state}{_reason(task)}"
    if Timing.of(task).next_after(moment - RESOLUTION) != moment:
        return "It will not run then: that lies outside of start_running and end_running."
    return f"It will run then; it is due next at {_at(task.next_run or moment)}."


def _never_planned(task: Task, moment: datetime, using: str, now: datetime) -> str:
    if task.created_at is not None and moment < task.created_at:
        return f"The task was made later, at {_at(task.created_at)}."
    if Timing.of(task).next_after(moment - RESOLUTION) != moment:
        return "It was not to run then: that lies outside of start_running and end_running."
    days = conf.get_settings().history_days
    if days and moment < now - timedelta(days=days):
        return f"Nobody can tell any more: the ledger is pruned after {days:g} days."
    if task.planned_from is not None and moment <= task.planned_from:
        return (
            f"Its timing was changed, or it was resumed, later, at {_at(task.planned_from)}; "
            "neither fires for the past."
        )
    if task.state != TaskState.ACTIVE:
        return f"It was not planned: it is {task.state}{_reason(task)}"
    beating = Process.objects.using(using).alive(now).filter(role=Role.HEARTBEAT)
    if task.mark is None or moment > task.mark:
        up = "one is up, and will plan it" if beating.exists() else "none is up"
        return f"It is due, and no heartbeat has planned it yet: {up}."
    return (
        "The ledger has no row of it: it was planned by another schedule, or its row was pruned."
    )


def _reason(task: Task) -> str:
    return f": {task.state_reason}" if task.state_reason else "."


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
