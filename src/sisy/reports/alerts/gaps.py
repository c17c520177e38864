"""Say which occurrences were missed, when they were due, and when no heartbeat was running."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from django.utils import timezone

from sisy.alerting.heartbeat_gaps import Gap, gap_that_explains, gaps_since
from sisy.models import Run, RunState, Task, TroubledRun
from sisy.planning.catch_up import IN_TIME
from sisy.reports.alerts.alert import Alert, Kind

COLUMNS = ("occurrence_at", "due_at", "due_until", "ready_at")


def with_gaps(using: str, alerts: Iterable[Alert], now: datetime) -> list[Alert]:
    """Return the alerts, those about missed occurrences with the range of these.

    One that is not recorded has the range of the newest gap. Each has the moment at which its task
    is due next.
    """
    listed = list(alerts)
    keys = [alert.run for alert in listed if alert.kind == Kind.MISSED and alert.run is not None]
    rows = Run.objects.using(using).only(*COLUMNS).in_bulk(keys) if keys else {}
    # The text of an alert that was opened for it has the sentence about heartbeats already.
    unexplained = [
        rows[alert.run].moment for alert in listed if alert.run in rows and IN_TIME in alert.why
    ]
    gaps = gaps_since(using, min(unexplained), now) if unexplained else []
    missing = {alert.task for alert in listed if alert.run in rows and alert.task is not None}
    tasks = Task.objects.using(using).filter(pk__in=missing) if missing else Task.objects.none()
    next_of = dict(tasks.values_list("pk", "next_run"))
    return [
        replace(_with_gap(alert, rows[alert.run], gaps), next_run=next_of.get(alert.task or 0))
        if alert.kind == Kind.MISSED and alert.run in rows
        else alert
        for alert in listed
    ]


def newest_gap(using: str, task: int) -> Run | None:
    """Return the row of the occurrences that a task missed last; None if it missed none."""
    entries = TroubledRun.objects.using(using).filter(task_id=task, state=RunState.MISSED)
    key = entries.order_by("-run_id").values_list("run_id", flat=True).first()
    return Run.objects.using(using).filter(pk=key).first() if key else None


def _with_gap(alert: Alert, row: Run, gaps: Sequence[Gap]) -> Alert:
    since = row.due_at or alert.since
    until, why, cause = row.due_until or since, alert.why, alert.cause
    if since and until and (gap := gap_that_explains(gaps, since, until)):
        zone = timezone.get_current_timezone()
        why, cause = gap.in_place_of_reason(why, zone), gap.in_place_of_reason(cause, zone)
    # The alert may be about several rows. This is the newest of them.
    if since and (record := alert.record or alert.closed):
        since = min(since, record.since)
    return replace(alert, since=since, until=until, why=why, cause=cause)
