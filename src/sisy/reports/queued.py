"""Why a queued run has not started, in a sentence; the first cause that holds is the answer.

A run that is not ready yet waits for its moment, whatever else is wrong. One that is ready waits
for what nobody at a keyboard may have noticed: its queue is paused, or no worker serves it. Then
come the causes that pass by themselves: its turn, a free slot, the next look of a worker.
"""

from datetime import datetime, tzinfo

from django.db.models import Q
from django.utils.translation import gettext, ngettext

from sisy.models import Run
from sisy.reports.service import Service, at

MAX_AHEAD_COUNTED = 10_000  # runs that are ahead of one


def why_queued(run: Run, now: datetime, zone: tzinfo, service: Service | None = None) -> str:
    """Return why a run that is not over has not started.

    Args:
        run: one in the state ``queued``.
        zone: whose clocks the moments are read from.
        service: what is known of the workers; it is read if a caller has not done so.
    """
    if run.ready_at > now:
        return _delayed(run, now, zone)
    using = run._state.db or "default"
    words = gettext("Run %(run)d has been queued since %(since)s: %(cause)s.")
    cause = _cause(run, now, zone, service or Service.at(using, now))
    return words % {"run": run.pk, "since": at(run.ready_at, zone), "cause": cause}


def _delayed(run: Run, now: datetime, zone: tzinfo) -> str:
    named = {
        "run": run.pk,
        "until": at(run.ready_at, zone),
        "attempt": run.attempt,
        "error": class_of_error(run),
    }
    if run.started_at is not None:
        words = gettext(
            "Run %(run)d was released by its worker. Another worker can start it after "
        )
        return words % named + f"{named['until']}."
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
    """Return the name of the class that the function raised last; empty if none was raised."""
    return str(run.error_class).rpartition(".")[2]


def _cause(run: Run, now: datetime, zone: tzinfo, service: Service) -> str:
    if run.cancel_requested_at is not None:
        return gettext("it was asked to stop, and the next worker that finds it will cancel it")
    if run.task_id is None:
        return gettext("its task was deleted, and the next worker that finds it will cancel it")
    if run.queue in service.paused:
        return service.hindrance(run.queue, zone)
    if run.engine:
        return _cause_elsewhere(run, zone, service)
    return (
        service.hindrance(run.queue, zone)
        or _turn(run, now)
        or _behind(run, service.fullness(run.queue), now)
    )


def _cause_elsewhere(run: Run, zone: tzinfo, service: Service) -> str:
    named = {"engine": run.engine, "at": run.dispatched_at and at(run.dispatched_at, zone)}
    if run.dispatched_at is not None:
        return gettext("it was sent to '%(engine)s' at %(at)s, which has not started it") % named
    if not service.heartbeats:
        return gettext("no heartbeat is running to send it to '%(engine)s'") % named
    return gettext("the heartbeat has not sent it to '%(engine)s' yet") % named


def _turn(run: Run, now: datetime) -> str:
    """Return, as a clause, behind which run of its task it waits for its turn; else nothing."""
    if run.task is None or run.task.allow_overlap:
        return ""
    going = Run.objects.using(run._state.db).filter(task=run.task_id).possibly_running(now)
    first = going.exclude(pk=run.pk).order_by("started_at").values_list("pk", flat=True).first()
    return gettext("it must wait for run %d of the same task to finish") % first if first else ""


def _behind(run: Run, fullness: str, now: datetime) -> str:
    """Return, as a clause, how many runs are ahead of it, and whether a slot is free."""
    ready = Run.objects.using(run._state.db).ready(now).native().filter(queue=run.queue)
    sooner = Q(ready_at__lt=run.ready_at) | Q(ready_at=run.ready_at, pk__lt=run.pk)
    ahead = ready.filter(Q(priority__gt=run.priority) | Q(priority=run.priority) & sooner)
    number = len(ahead.order_by().values_list("pk")[:MAX_AHEAD_COUNTED])
    clause = fullness or gettext("no worker has claimed it yet")
    if not number:
        return clause
    shown = f"{number:,}" if number < MAX_AHEAD_COUNTED else f"{number:,}+"
    words = ngettext("%s run is ahead of it", "%s runs are ahead of it", number) % shown
    return gettext("%(cause)s, and %(ahead)s") % {"cause": clause, "ahead": words}
