"""Alerts grouped by their cause, so that one outage is one problem and not one for each task.

A group begins in one of two ways:

- Processes and queues: if no heartbeat is running, tasks are late. If no worker is running, no
  queue has one. If a queue has no worker or is paused, its runs are queued, and if all slots are
  in use, its tasks are late. Such alerts are consequences, and belong to the group of the cause.
- Tasks: alerts of a kind whose texts give the same cause belong together, such as tasks that fail
  because of the same error. Those whose alerts a person has closed are a group of their own.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sisy.alerting.problem import without_numbers
from sisy.reports.alerts.alert import Alert, Kind
from sisy.reports.alerts.group import AlertGroup

CONSEQUENCES = {
    Kind.NO_HEARTBEAT: {Kind.LATE, Kind.SILENT},
    Kind.NO_WORKER: {Kind.QUEUED, Kind.LATE, Kind.SILENT},
    Kind.QUEUE_PAUSED: {Kind.QUEUED, Kind.SILENT},
    Kind.QUEUED: {Kind.LATE},
}
"""By a kind of alert, the kinds that it may cause: of the same queue, if it is about a queue."""


def grouped(alerts: Sequence[Alert]) -> list[AlertGroup]:
    """Return the alerts by cause, in the order of the first alert of each."""
    causes = [alert for alert in alerts if alert.kind in CONSEQUENCES and not alert.is_over]
    # A cause that concerns all queues comes before those that concern one of them.
    causes.sort(key=lambda alert: bool(alert.queues))
    caused = [
        (alert, next((each for each in causes if _is_consequence(alert, each)), None))
        for alert in alerts
    ]
    # The cause is the first of its group.
    caused.sort(key=lambda pair: pair[0].kind not in CONSEQUENCES or pair[1] is not None)
    groups: dict[str, list[Alert]] = {}
    for alert, cause in caused:
        groups.setdefault(_key(cause or alert), []).append(alert)
    places = {id(alert): place for place, alert in enumerate(alerts)}
    found = [AlertGroup(key=key, alerts=tuple(several)) for key, several in groups.items()]
    found.sort(key=lambda group: places[id(group.lead)])
    return [replace(group, alerts=_by_loss(group.alerts)) for group in found]


def _by_loss(alerts: tuple[Alert, ...]) -> tuple[Alert, ...]:
    """Return alerts about missed occurrences with those first that no run makes up for soon.

    What is due again in minutes has hardly lost anything. What is due only tomorrow, such as a
    backup, must be found at once.
    """
    if alerts[0].kind != Kind.MISSED:
        return alerts
    never = datetime.max.replace(tzinfo=UTC)
    by_next_run = sorted(alerts, key=lambda alert: alert.next_run or never, reverse=True)
    return tuple(sorted(by_next_run, key=lambda alert: alert.record is None))


def _is_consequence(alert: Alert, cause: Alert) -> bool:
    if cause.kind == Kind.NO_WORKER and not cause.queues:
        is_of_queue = alert.kind == Kind.NO_WORKER and bool(alert.queues)
        return is_of_queue or (alert.kind in CONSEQUENCES[cause.kind] and not alert.is_over)
    if alert.kind not in CONSEQUENCES[cause.kind] or alert.is_over:
        return False
    # A recorded alert is about one heartbeat that died: another one may still be running.
    if cause.kind == Kind.NO_HEARTBEAT:
        return cause.record is None
    # A run is late with its queue if both give the same reason. It may also wait for a run of its
    # own task.
    if cause.kind == Kind.QUEUED and not _gives_same_reason(cause, alert):
        return False
    return not set(alert.queues).isdisjoint(cause.queues)


def _gives_same_reason(cause: Alert, alert: Alert) -> bool:
    return bool(alert.cause) and without_numbers(alert.cause) == without_numbers(cause.cause)


def _key(alert: Alert) -> str:
    if alert.kind == Kind.NO_HEARTBEAT:
        return str(alert.kind)
    if alert.is_over:
        # Each delay is a row of its own, though their texts differ in numbers only.
        moment = f"{alert.since:%Y%m%d%H%M%S}" if alert.since else "more"
        return "-".join(("over", alert.kind, moment, *alert.queues))
    if alert.is_about_site:
        about = ",".join(alert.queues)
    elif alert.task is None and not alert.path:
        about = f"{','.join(alert.queues)} {alert.why}"
    else:
        about = alert.cause or alert.why
    # Tasks are late for what hinders their queue; they fail by the same error in any queue.
    where = ",".join(alert.queues) if alert.kind == Kind.LATE else ""
    cause = f"{where} {without_numbers(about)}"
    state = "closed-" if alert.closed else ""
    return f"{state}{alert.kind}-{hashlib.blake2b(cause.encode(), digest_size=6).hexdigest()}"
