"""The alerts: all that is not as it should be, in words, and from which threshold on.

`find_alerts` is the one list. The overview and ``sisy_status`` show it. ``sisy_health`` asks the
same functions, with thresholds of its own (`health`). The alerts about what stored tasks call and
when are too slow for pages that refresh, so that ``manage.py check`` shows them (`definitions`).

Each kind of alert costs a bounded number of statements, whatever the number of tasks and runs. Of
each kind, at most `MAX_GROUPS_SHOWN` things are named; a last row says how many more there are.
"""

from datetime import datetime

from sisy.models import Task
from sisy.reports.alerts.alert import DEFAULT, Alert, Kind, Severity, Thresholds
from sisy.reports.alerts.processes import (
    heartbeat_alerts,
    paused_alerts,
    queued_alerts,
    worker_alerts,
)
from sisy.reports.alerts.tasks import broken_alerts, failed_alerts, late_alerts, missed_alerts
from sisy.reports.errors import MAX_GROUPS_SHOWN
from sisy.reports.fleet import Fleet

__all__ = ["MAX_GROUPS_SHOWN", "Alert", "Kind", "Severity", "Thresholds", "find_alerts"]


def find_alerts(
    using: str, now: datetime, thresholds: Thresholds = DEFAULT, *, in_full: bool = False
) -> list[Alert]:
    """Return all alerts, by kind; the gravest kinds come first.

    Args:
        in_full: whether the texts of errors may be shown; see `sisy.reports.disclosure`.
    """
    fleet = Fleet.at(using, now)
    tasks = Task.objects.using(using).active().native().order_by()
    needed = set(tasks.values_list("queue", flat=True).distinct())
    kinds = (
        heartbeat_alerts(fleet),
        worker_alerts(fleet, needed, now, thresholds),
        paused_alerts(using, now, fleet),
        broken_alerts(using),
        failed_alerts(using, now, in_full=in_full),
        late_alerts(using, now, thresholds),
        queued_alerts(using, now, fleet, thresholds),
        missed_alerts(using, now),
    )
    return [alert for kind in kinds for alert in kind]
