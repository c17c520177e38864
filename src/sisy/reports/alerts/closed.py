"""Problems whose alerts are closed: some remain, because a person closed them; others are over.

Only new evidence opens such an alert again: see `sisy.alerting.opening`. Until then, its problem
is listed with the start and the mute of the closed alert. It needs no action, because a person
said so. Only what stops Sisy, such as a queue without a worker, needs action until it is over.

The ledger shows for 24 hours what was missed. If the task has succeeded since, a heartbeat has
closed the alert about it, or would have, had no person done so: then only the history of alerts
has it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from sisy.alerting.missed import made_good
from sisy.alerting.opening import last_alerts
from sisy.alerting.problem import of_call, of_queue, of_task, open_key
from sisy.models import Alert as AlertRecord
from sisy.records.problems import Kind
from sisy.reports.alerts.alert import Alert, Severity
from sisy.reports.alerts.recorded import SAME

LISTED_IF_CLOSED = {kind for kinds in SAME.values() for kind in kinds}
"""The kinds of alerts whose problems are listed although a person has closed the alert."""


def with_closed(using: str, found: Iterable[Alert]) -> Iterator[Alert]:
    """Yield the problems that are not recorded, with the alerts that a person has closed.

    Missed occurrences are left out if their alert is closed and the task has succeeded since.
    """
    listed = list(found)
    about = {id(alert): list(_subjects(alert)) for alert in listed if _is_open(alert)}
    subjects = {subject for some in about.values() for subject in some}
    kinds = {kind for alert in listed if about.get(id(alert)) for kind in SAME[alert.kind]}
    last = last_alerts(using, subjects, kinds) if subjects else {}
    over = made_good(using, (record for record in last.values() if record.closed_by))
    for alert in listed:
        keys = (
            open_key(kind, subject)
            for subject in about.get(id(alert), ())
            for kind in SAME[alert.kind]
        )
        records = [last[key] for key in keys if key in last]
        newest = max(records, key=lambda record: record.pk, default=None)
        if newest is None or _shows_more(newest, alert):
            yield alert
        elif newest.closed_by and newest.pk not in over:
            yield _closed(alert, newest)
        elif alert.kind != Kind.MISSED:
            yield alert


def _is_open(alert: Alert) -> bool:
    return alert.kind in SAME and alert.severity != Severity.INFO


def _subjects(alert: Alert) -> Iterator[str]:
    if alert.task is not None:
        yield of_task(alert.task)
    elif alert.path:
        yield of_call(alert.path)
    else:
        yield from map(of_queue, alert.queues)


def _shows_more(record: AlertRecord, alert: Alert) -> bool:
    """Return whether a problem shows more than an alert about it did when it was closed."""
    # The evidence of other kinds is not known here. A heartbeat opens these again in its next
    # round, if it is other evidence.
    return alert.kind in (Kind.FAILED, Kind.MISSED) and (alert.run or 0) > record.evidence


def _closed(alert: Alert, record: AlertRecord) -> Alert:
    is_critical = alert.severity == Severity.CRITICAL
    severity = alert.severity if is_critical else Severity.INFO
    return replace(alert, closed=record, since=record.since, severity=severity)
