"""Explain in a sentence why a run ran, is queued or did not run, by the ledger or the schedule.

If a queued run is not ready yet, the answer says when it will be, whatever else is wrong. If it is
ready, the answer is the first cause that applies: its queue is paused or has no worker, another
run of its task must finish, no slot is free, or no worker has claimed it yet.
"""

from datetime import datetime, timedelta, tzinfo

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q
from django.utils.translation import gettext, ngettext

from sisy.alerting.capacity import Fleet
from sisy.alerting.heartbeat_gaps import gaps_since
from sisy.alerting.missed import reason_of as reason_of_missed
from sisy.exceptions import ScheduleError
from sisy.models import Run, RunState, Task, TaskState
from sisy.models.run import RunQuerySet
from sisy.planning.timing import TICK, occurrences
from sisy.records.choices import Origin, with_reason
from sisy.records.small_tables import QueuedRun
from sisy.reports import formatting
from sisy.reports.formatting import zone_named
from sisy.reports.ledger import blocker_of
from sisy.reports.unplanned import ahead, never_planned, not_due, pause_of, reason_of
from sisy.runtime.durations import in_zone
from sisy.schedules import Schedule
from sisy.schedules.calendar import just_before

SECOND, MILLISECOND = timedelta(seconds=1), timedelta(milliseconds=1)
MAX_AHEAD_COUNTED = 10_000  # queued runs ahead of the one in question


def why(task: Task, moment: datetime, using: str, now: datetime) -> str:
    """Say what happened to the occurrence of ``task`` at ``moment``, or why there was none.

    Args:
        moment: the due moment, or the moment when a run was planned, ready, started or finished.
            The answer shows moments in its time zone.
    """
    zone = _zone_of(moment)
    run = _row_of(task, moment, using)
    if run is not None:
        return why_run(run, zone, now)
    if task.runs_once:
        latest = _latest(_newest(task, using), zone, now)
        return f"The task has no schedule, and no run at this time. {latest}"
    try:
        schedule = Schedule(task.schedule, task.timezone, key=task.label)
    except ScheduleError as error:
        return formatting.schedule_error("The task's schedule", str(error))
    if schedule.next_after(just_before(moment)) != moment:
        return not_due(schedule, moment, zone)
    if moment > now:
        return ahead(task, moment, using, zone)
    return never_planned(task, moment, using, now, zone)


def why_run(run: Run, zone: tzinfo, now: datetime) -> str:
    """Say what happened to a run, or why it has not started."""
    if run.state == RunState.MISSED:
        others, using = run.count - 1, run._state.db or DEFAULT_DB_ALIAS
        reason = reason_of_missed(run, gaps_since(using, run.moment, now), zone)
        words = ngettext("together with %d other", "together with %d others", others) % others
        if not others:
            return f"This occurrence was missed: {reason}"
        return f"This occurrence was missed, {words}: {reason}"
    if run.state == RunState.SKIPPED:
        return f"This run was skipped: {run.reason}"
    if run.state == RunState.QUEUED:
        sentence = why_queued(run, now, zone)
        # The reason says what happened last, not why the run is queued now.
        return f"{sentence} Last event: {run.reason}" if run.reason else sentence
    began = ""
    if run.started_at is not None:
        began = f" at {in_zone(run.started_at, zone)}"
    if run.lateness is not None:
        waited = formatting.span(run.lateness)
        # A retry or a backfill is ready later than its occurrence was due, by design.
        is_later = run.attempt > 1 or run.origin in (Origin.BACKFILL, Origin.RETRY)
        began += f" ({waited} after it was ready)" if is_later else f" ({waited} late)"
    if run.state == RunState.RUNNING:
        where = run.worker_name or "an unknown worker"
        return f"Run {run.pk} is running on {where}. It started{began}."
    was = "was " if run.state in (RunState.LOST, RunState.CANCELLED) else ""
    end = with_reason(f"Run {run.pk} {was}{run.get_state_display()}", run.reason)
    if run.attempt > 1:
        end = f"{end.removesuffix('.')} (attempt {run.attempt})."
    if not began:
        return end
    took = f" and took {formatting.span(run.duration)}" if run.duration is not None else ""
    return f"{end if end.endswith('.') else f'{end}.'} It started{began}{took}."


def why_task(task: Task, using: str, now: datetime) -> str:
    """Say what a task is doing: the state of its newest run, and when it is next due.

    If its queue is paused, the answer says so, even if no run is due yet.
    """
    zone = zone_named(task.timezone)
    parts = []
    if task.state != TaskState.ACTIVE and not task.runs_once:
        parts.append(f"The task is {task.get_state_display()}{reason_of(task, zone)}")
    newest = _newest(task, using)
    latest = _latest(newest, zone, now)
    if (pause := pause_of(task, using, zone)) and pause not in latest:
        parts.append(f"{pause[:1].upper()}{pause[1:]}.")
    parts.append(latest)
    # The newest run may be planned ahead. The next one is due after it.
    planned = newest.due_at if newest and newest.state == RunState.QUEUED else None
    due = next(occurrences(task, max(now, planned or now)), None)
    if due is not None:
        parts.append(f"The next run is due at {in_zone(due, zone)}.")
    return " ".join(parts)


def _newest(task: Task, using: str) -> Run | None:
    return Run.objects.using(using).select_related("task", "process").filter(task=task).first()


def _latest(newest: Run | None, zone: tzinfo, now: datetime) -> str:
    return "The task has no runs yet." if newest is None else why_run(newest, zone, now)


def _row_of(task: Task, moment: datetime, using: str) -> Run | None:
    known = Run.objects.using(using).select_related("task", "process")
    runs = known.filter(task=task).order_by("-pk")
    at_it = Q(due_at=moment) | Q(occurrence_at=moment)
    within = Q(due_at__lte=moment, due_until__gte=moment)
    return runs.filter(at_it | within).first() or _row_at(runs, moment)


def _row_at(runs: RunQuerySet, moment: datetime) -> Run | None:
    """Return the newest run that was planned, ready, started or finished at a moment.

    A moment in whole seconds matches any time within that second, one in whole milliseconds any
    time within that millisecond.
    """
    width = SECOND if moment.microsecond == 0 else MILLISECOND
    if moment.microsecond % 1000:
        width = TICK
    span = (moment, moment + width - TICK)
    names = ("started_at", "ready_at", "planned_at", "finished_at")
    happened = Q(*[(f"{name}__range", span) for name in names], _connector=Q.OR)
    return runs.filter(happened).exclude(state=RunState.MISSED).first()


def _zone_of(moment: datetime) -> tzinfo:
    assert moment.tzinfo is not None, "a moment without a zone names none"
    return moment.tzinfo


def why_queued(run: Run, now: datetime, zone: tzinfo, fleet: Fleet | None = None) -> str:
    """Return why a queued run has not started.

    Args:
        run: a run in the state ``queued``.
        zone: the time zone in which moments are shown.
        fleet: the workers; by default, they are read from the database.
    """
    if run.ready_at > now:
        return _delayed(run, now, zone)
    using = run._state.db or "default"
    words = gettext("Run %(run)d has been queued since %(since)s: %(cause)s.")
    cause = _cause(run, now, zone, fleet or Fleet.at(using, now))
    return words % {"run": run.pk, "since": in_zone(run.ready_at, zone), "cause": cause}


def _delayed(run: Run, now: datetime, zone: tzinfo) -> str:
    named = {
        "run": run.pk,
        "until": in_zone(run.ready_at, zone),
        "attempt": run.attempt,
        "error": class_of_error(run),
    }
    if run.started_at is not None:
        words = gettext("Run %(run)d was released by its worker. It can start again at %(until)s.")
        return words % named
    if run.attempt > run.times_lost and run.error_class:
        words = gettext(
            "Run %(run)d will be retried at %(until)s: attempt %(attempt)d raised %(error)s."
        )
        return words % named
    if run.attempt > run.times_lost:
        return gettext("Run %(run)d will be retried at %(until)s.") % named
    if run.due_at is not None and run.due_at <= now:
        return gettext("Run %(run)d is delayed until %(until)s by its task's spread.") % named
    if run.due_at is not None:
        return gettext("Run %(run)d is due at %(until)s.") % named
    return gettext("Run %(run)d is delayed until %(until)s.") % named


def class_of_error(run: Run) -> str:
    """Return the class name of the function's last exception; empty if it raised none."""
    return str(run.error_class).rpartition(".")[2]


def _cause(run: Run, now: datetime, zone: tzinfo, fleet: Fleet) -> str:
    if run.cancel_requested_at is not None:
        words = gettext("its cancellation was requested, and a worker will cancel it shortly")
        if hindrance := fleet.hindrance(run.queue, zone):
            words = gettext(
                "its cancellation was requested, but %s. To cancel it immediately, cancel it again"
            )
            words %= hindrance
        return words
    if run.task is None:
        return gettext("its task was deleted, and a worker will cancel it shortly")
    if run.queue in fleet.paused:
        return fleet.hindrance(run.queue, zone)
    if run.engine:
        return _cause_elsewhere(run, zone, fleet)
    return (
        fleet.hindrance(run.queue, zone)
        or _turn(run, now)
        or _behind(run, fleet.fullness(run.queue), now)
    )


def _cause_elsewhere(run: Run, zone: tzinfo, fleet: Fleet) -> str:
    named = {"engine": run.engine, "at": run.dispatched_at and in_zone(run.dispatched_at, zone)}
    if run.dispatched_at is not None:
        words = gettext(
            "it was sent to the engine '%(engine)s' at %(at)s, but '%(engine)s' has not started "
            "it yet"
        )
        return words % named
    if not fleet.heartbeats:
        return gettext("no heartbeat is running to send it to the engine '%(engine)s'") % named
    return gettext("no heartbeat has sent it to the engine '%(engine)s' yet") % named


def _turn(run: Run, now: datetime) -> str:
    """Return, as a clause, which run of its task it must wait for; empty if none."""
    first = blocker_of(run, now)
    words = gettext("it must wait for run %d of the same task to finish")
    return words % first.pk if first else ""


def _behind(run: Run, fullness: str, now: datetime) -> str:
    """Return, as a clause, how many runs are ahead of it, and whether a slot is free."""
    queued = QueuedRun.objects.using(run._state.db).filter(engine="", queue=run.queue)
    sooner = Q(ready_at__lt=run.ready_at) | Q(ready_at=run.ready_at, run_id__lt=run.pk)
    ahead = Q(priority__gt=run.priority) | Q(priority=run.priority) & sooner
    ready = queued.filter(ahead, ready_at__lte=now).order_by()
    number = len(ready.values_list("run_id")[:MAX_AHEAD_COUNTED])
    clause = fullness or gettext("no worker has claimed it yet")
    if not number:
        return clause
    shown = f"{number:,}" if number < MAX_AHEAD_COUNTED else f"{number:,}+"
    words = ngettext("%s run is ahead of it", "%s runs are ahead of it", number) % shown
    return gettext("%(cause)s, and %(ahead)s") % {"cause": clause, "ahead": words}
