"""Why something runs, ran or did not run, in a sentence: the ledger first, then the schedule."""

from datetime import datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.db.models import Q
from django.utils.translation import ngettext

from sisy import conf
from sisy.exceptions import ScheduleError
from sisy.models import Process, Role, Run, RunState, Task, TaskState
from sisy.models.run_queries import RunQuerySet
from sisy.models.timing import TICK, Timing, iterations_left, occurrences
from sisy.reports import formatting
from sisy.reports.queued import why_queued
from sisy.reports.service import at
from sisy.schedules import Schedule
from sisy.schedules.calendar import just_before

SECOND, MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)


def why(task: Task, moment: datetime, using: str, now: datetime) -> str:
    """Say what became of the occurrence of ``task`` at ``moment``, or why there was none.

    Args:
        moment: due, or the moment at which a run was planned, ready, started or finished. The
            answer names moments by the clocks of its zone.
    """
    zone = _zone_of(moment)
    run = _row_of(task, moment, using)
    if run is not None:
        return why_run(run, zone, now)
    if task.runs_once:
        return (
            f"The task has no schedule, and no run at this time. {_latest(task, using, zone, now)}"
        )
    try:
        schedule = Schedule(task.schedule, task.timezone, key=task.label)
    except ScheduleError as error:
        return f"The task's schedule is not valid: {error}"
    if schedule.next_after(just_before(moment)) != moment:
        return _not_due(schedule, moment, zone)
    if moment > now:
        return _ahead(task, moment, zone)
    return _never_planned(task, moment, using, now)


def why_run(run: Run, zone: tzinfo, now: datetime) -> str:
    """Say what became of a run, or why it has not started."""
    if run.state == RunState.MISSED:
        others = run.count - 1
        words = ngettext("together with %d other", "together with %d others", others) % others
        if not others:
            return f"This occurrence was missed: {run.reason}"
        return f"This occurrence was missed, {words}: {run.reason}"
    if run.state == RunState.SKIPPED:
        return f"This run was skipped: {run.reason}"
    if run.state == RunState.QUEUED:
        sentence = why_queued(run, now, zone)
        # The reason tells what happened last, not why the run is queued now.
        return f"{sentence} Last event: {run.reason}" if run.reason else sentence
    began = ""
    if run.started_at is not None:
        began = f" at {at(run.started_at, zone)}"
    if run.lateness is not None:
        began += f", {formatting.span(run.lateness)} late"
    if run.state == RunState.RUNNING:
        return f"Run {run.pk} is running on {run.worker_name}: started{began}."
    tries = f" in attempt {run.attempt}" if run.attempt > 1 else ""
    was = "was " if run.state in (RunState.LOST, RunState.CANCELLED) else ""
    parts = [f"Run {run.pk} {was}{run.get_state_display()}{tries}"]
    if began:
        parts.append(f"started{began}")
    if run.duration is not None:
        parts.append(f"took {formatting.span(run.duration)}")
    return ", ".join(parts) + (f": {run.reason}" if run.reason else ".")


def why_task(task: Task, using: str, now: datetime) -> str:
    """Say what a task does now: what its newest run does or did, and when it is due next."""
    zone = zone_named(task.timezone)
    parts = []
    if task.state != TaskState.ACTIVE and not task.runs_once:
        parts.append(f"The task is {task.get_state_display()}{_reason(task)}")
    parts.append(_latest(task, using, zone, now))
    due = next(occurrences(task, now), None)
    if due is not None:
        parts.append(f"The next run is due at {at(due, zone)}.")
    return " ".join(parts)


def _latest(task: Task, using: str, zone: tzinfo, now: datetime) -> str:
    run = Run.objects.using(using).filter(task=task).select_related("task").first()
    return "The task has no runs yet." if run is None else why_run(run, zone, now)


def _row_of(task: Task, moment: datetime, using: str) -> Run | None:
    runs = Run.objects.using(using).filter(task=task).select_related("task").order_by("-pk")
    at_it = Q(due_at=moment) | Q(occurrence_at=moment)
    within = Q(due_at__lte=moment, due_until__gte=moment)
    return runs.filter(at_it | within).first() or _row_at(runs, moment)


def _row_at(runs: RunQuerySet, moment: datetime) -> Run | None:
    """Return the newest run to which something happened at a moment, as exactly as it is known."""
    width = SECOND if moment.microsecond == 0 else MILLISECOND
    if moment.microsecond % 1000:
        width = TICK
    span = (moment, moment + width - TICK)
    names = ("started_at", "ready_at", "planned_at", "finished_at")
    happened = Q(*[(f"{name}__range", span) for name in names], _connector=Q.OR)
    return runs.filter(happened).exclude(state=RunState.MISSED).first()


def _not_due(schedule: Schedule, moment: datetime, zone: tzinfo) -> str:
    before, after = schedule.last_until(moment), schedule.next_after(moment)
    words = f"The current schedule, {schedule.expression!r}, does not match this time."
    if before is not None:
        words += f" The previous match is {at(before, zone)}."
    if after is not None:
        words += f" The next match is {at(after, zone)}."
    return words


def _ahead(task: Task, moment: datetime, zone: tzinfo) -> str:
    if task.state != TaskState.ACTIVE:
        return f"It will not run at this time, because the task is {task.state}{_reason(task)}"
    timing = Timing.of(task)
    if timing.next_after(just_before(moment)) != moment:
        return "It will not run at this time, which is outside of start_running and end_running."
    first, left = task.next_run or moment, iterations_left(task)
    # What is due before it uses up the iterations that are left.
    if left is not None and timing.schedule.count_between(just_before(first), moment) > left:
        words = ngettext("%d iteration is left", "%d iterations are left", left) % left
        return (
            f"It will not run at this time: {words}, and the next run is due at {at(first, zone)}."
        )
    return f"It will run at this time. The next run is due at {at(first, zone)}."


def _never_planned(task: Task, moment: datetime, using: str, now: datetime) -> str:
    zone = _zone_of(moment)
    if task.created_at is not None and moment < task.created_at:
        return f"The task was created later, at {at(task.created_at, zone)}."
    if Timing.of(task).next_after(just_before(moment)) != moment:
        return "It did not run, because this time is outside of start_running and end_running."
    days = conf.get_settings().history_days
    if days and moment < now - timedelta(days=days):
        words = ngettext("%g day", "%g days", round(days)) % days
        return f"Unknown: history older than {words} has been pruned."
    if task.planning_since is not None and moment <= task.planning_since:
        since = at(task.planning_since, zone)
        return (
            f"The task was changed or resumed at {since}, after this time. Sisy plans only "
            "occurrences after that."
        )
    if task.state != TaskState.ACTIVE:
        return f"It was not planned, because the task is {task.state}{_reason(task)}"
    beating = Process.objects.using(using).alive(now).filter(role=Role.HEARTBEAT)
    if task.planned_until is None or moment > task.planned_until:
        up = (
            "a heartbeat is running and will plan it"
            if beating.exists()
            else "no heartbeat is running"
        )
        return f"It is due but has not been planned: {up}."
    return (
        "No run is recorded for this time. Another schedule was in effect, or the run was pruned."
    )


def _reason(task: Task) -> str:
    return f": {task.state_reason.rstrip('.')}." if task.state_reason else "."


def _zone_of(moment: datetime) -> tzinfo:
    assert moment.tzinfo is not None, "a moment without a zone names none"
    return moment.tzinfo


def zone_named(name: str) -> tzinfo:
    """Return the zone of that name, or UTC if there is none: tasks may have a wrong one."""
    try:
        return ZoneInfo(name)
    except (ValueError, ZoneInfoNotFoundError):
        return ZoneInfo("UTC")
