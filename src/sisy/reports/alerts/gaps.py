"""Say which occurrences were missed, and from when to when, whenever that was noticed."""

from collections.abc import Iterable
from dataclasses import replace

from sisy.models import Run, RunState, TroubledRun
from sisy.reports.alerts.alert import Alert, Kind


def with_gaps(using: str, alerts: Iterable[Alert]) -> list[Alert]:
    """Return the alerts, those about missed occurrences with the range of the newest gap."""
    listed = list(alerts)
    keys = [alert.run for alert in listed if alert.kind == Kind.MISSED and alert.run is not None]
    gaps = Run.objects.using(using).only("due_at", "due_until").in_bulk(keys) if keys else {}
    return [
        _with_gap(alert, gaps[alert.run])
        if alert.kind == Kind.MISSED and alert.run in gaps
        else alert
        for alert in listed
    ]


def newest_gap(using: str, task: int) -> Run | None:
    """Return the row of the occurrences that a task missed last; None if it missed none."""
    entries = TroubledRun.objects.using(using).filter(task_id=task, state=RunState.MISSED)
    key = entries.order_by("-run_id").values_list("run_id", flat=True).first()
    return Run.objects.using(using).filter(pk=key).first() if key else None


def _with_gap(alert: Alert, gap: Run) -> Alert:
    since = gap.due_at or alert.since
    return replace(alert, since=since, until=gap.due_until or since)
