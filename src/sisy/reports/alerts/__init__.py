"""The alerts: each problem in words, and the threshold above which it counts as a problem.

`find_alerts` returns the list that the overview and ``sisy_status`` show: the alerts that people
are notified of (`recorded`), the delays of the last 24 hours (`recovered`), and the problems that
are found in each request. ``sisy_health`` calls the same functions with thresholds of its own
(`health`). The alerts about the schedules and functions of stored tasks are too slow for pages
that refresh, so ``manage.py check`` shows them instead (`definitions`).

Each kind of alert takes a bounded number of statements, however many tasks and runs there are. At
most `MAX_GROUPS_SHOWN` alerts of a kind are listed; a last row says how many more there are.
"""

from collections.abc import Iterable
from datetime import datetime

from django.db.models import Q

from sisy.alerting.capacity import Fleet
from sisy.models import Alert as AlertRecord
from sisy.reports.alerts.alert import DEFAULT, Alert, Kind, Severity, Thresholds
from sisy.reports.alerts.closed import with_closed
from sisy.reports.alerts.gaps import with_gaps
from sisy.reports.alerts.group import AlertGroup
from sisy.reports.alerts.grouping import grouped
from sisy.reports.alerts.processes import (
    heartbeat_alerts,
    needed_queues,
    no_worker_alerts,
    paused_alerts,
    queued_alerts,
    worker_alerts,
)
from sisy.reports.alerts.recorded import of_record, recorded_alerts, without_recorded
from sisy.reports.alerts.recovered import recovered_alerts
from sisy.reports.alerts.streaks import with_latest_runs
from sisy.reports.alerts.tasks import broken_alerts, failed_alerts, late_alerts, missed_alerts
from sisy.reports.errors import MAX_GROUPS_SHOWN
from sisy.reports.peaks import slots_by_queue

__all__ = [
    "MAX_GROUPS_SHOWN",
    "Alert",
    "Kind",
    "Severity",
    "Thresholds",
    "find_alerts",
    "open_alerts",
    "seen_now",
]


def open_alerts(using: str, now: datetime, about: Q, *, in_full: bool) -> list[Alert]:
    """Return the open alerts about a task or a run, the most severe first.

    Args:
        about: see `recorded_alerts`.
        in_full: whether the texts of errors may be shown; see `sisy.reports.disclosure`.
    """
    recorded = recorded_alerts(using, about)
    found = with_gaps(using, with_latest_runs(using, recorded, now, in_full=in_full), now)
    return sorted(found, key=_rank)


def seen_now(
    using: str, records: Iterable[AlertRecord], now: datetime, *, in_full: bool
) -> dict[int, AlertGroup]:
    """Return what the latest runs say about those of some recorded alerts that are open, by key.

    Each is alone in its group, so that its words are those of the overview.

    Args:
        in_full: whether the texts of errors may be shown; see `sisy.reports.disclosure`.
    """
    recorded = [of_record(record) for record in records if record.is_open]
    found = with_gaps(using, with_latest_runs(using, recorded, now, in_full=in_full), now)
    return {
        alert.record.pk: group for alert in found for group in grouped([alert]) if alert.record
    }


def find_alerts(
    using: str, now: datetime, thresholds: Thresholds = DEFAULT, *, in_full: bool = False
) -> list[Alert]:
    """Return all alerts, the most severe first, and at last the delays of the last 24 hours.

    No problem is listed twice.

    Args:
        in_full: whether the texts of errors may be shown; see `sisy.reports.disclosure`.
    """
    fleet = Fleet.at(using, now)
    needed = needed_queues(using)
    kinds = (
        heartbeat_alerts(fleet),
        no_worker_alerts(fleet, needed),
        worker_alerts(fleet, needed, now, thresholds),
        paused_alerts(using, now, fleet),
        broken_alerts(using),
        failed_alerts(using, now, in_full=in_full),
        late_alerts(using, now, thresholds),
        queued_alerts(using, now, fleet, thresholds),
        missed_alerts(using, now),
    )
    recorded = list(recorded_alerts(using))
    unrecorded = without_recorded((alert for kind in kinds for alert in kind), recorded)
    others = with_closed(using, unrecorded)
    over = recovered_alerts(using, now, slots_by_queue(fleet.workers))
    found = [*recorded, *others, *over]
    alerts = with_gaps(using, with_latest_runs(using, found, now, in_full=in_full), now)
    return sorted(alerts, key=_rank)


def _rank(alert: Alert) -> int:
    """Return a number that is lower for a more severe alert."""
    return list(Severity).index(alert.severity)
