"""Alerts grouped by their cause, so that one outage is one problem and not one for each task.

A group begins in one of two ways:

- Processes and queues: if no heartbeat is running, tasks are late. If a queue has no worker or is
  paused, its runs are queued, and if all slots are in use, its tasks are late. Such alerts are
  consequences, and belong to the group of the cause.
- Tasks: alerts of a kind whose texts give the same cause belong together, such as tasks that fail
  because of the same error.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext

from sisy.alerting.problem import as_sentence, without_numbers
from sisy.models import Alert as AlertRecord
from sisy.reports import formatting
from sisy.reports.alerts.advice import (
    FAILURES,
    FOR_FLAPPING,
    FOR_ONE_OCCURRENCE,
    TO_CANCEL,
    general_advice,
    reopening,
)
from sisy.reports.alerts.alert import Alert, Kind, Severity
from sisy.runtime.durations import in_zone

CONSEQUENCES = {
    Kind.NO_HEARTBEAT: {Kind.LATE, Kind.SILENT},
    Kind.NO_WORKER: {Kind.QUEUED, Kind.LATE, Kind.SILENT},
    Kind.QUEUE_PAUSED: {Kind.QUEUED, Kind.SILENT},
    Kind.QUEUED: {Kind.LATE},
}
"""By a kind of alert, the kinds that it may cause: of the same queue, if it is about a queue."""

GOING = {Kind.SLOW, Kind.STALLED}

MAX_SUBJECTS_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertGroup:
    """The alerts that one cause has. The first one is the cause, or is an example of the others.

    Attributes:
        key: identifies the group as long as its cause lasts.
    """

    key: str
    alerts: tuple[Alert, ...]

    @property
    def lead(self) -> Alert:
        return self.alerts[0]

    @property
    def severity(self) -> Severity:
        return self.lead.severity

    @property
    def since(self) -> datetime | None:
        """The moment at which the first of its problems began."""
        return min((alert.since for alert in self.alerts if alert.since), default=None)

    @property
    def until(self) -> datetime | None:
        """The last of the occurrences that were missed, or the end of a delay; otherwise None."""
        return max((alert.until for alert in self.alerts if alert.until), default=None)

    @property
    def number(self) -> int:
        """The number of problems: one, or those that the row only counts."""
        return self.lead.number if len(self.alerts) == 1 else 1

    @property
    def same(self) -> list[Alert]:
        """The alerts of the kind of the first one; the others are consequences."""
        return [alert for alert in self.alerts if alert.kind == self.lead.kind]

    @property
    def what(self) -> str:
        """The label of the task, or the number of tasks."""
        if len(self.same) == 1 or self.lead.is_about_site:
            return self.lead.what
        return ngettext("%d task", "%d tasks", len(self.same)) % len(self.same)

    @property
    def why(self) -> str:
        """The text of the alert, or what the texts of all have in common."""
        if len(self.same) == 1 or self.lead.is_about_site:
            return self.lead.full or self.lead.why
        cause = as_sentence(self.lead.cause or self.lead.why)
        # A clause becomes a sentence here. Other causes may be the names of errors.
        return capfirst(cause) if self.lead.kind == Kind.LATE else cause

    @property
    def fix(self) -> str:
        """The advice; empty if the text has it."""
        if self.lead.is_over:
            return self.lead.fix
        general = (
            str(FOR_ONE_OCCURRENCE)
            if self.is_one_occurrence
            else general_advice(self.lead.kind, len(self.same))
        )
        # What helps one of several tasks, such as a command for its run, may harm the others.
        is_one = len({alert.fix for alert in self.same}) == 1
        return self.lead.fix or general if is_one else general

    @property
    def advice(self) -> str:
        """The advice beside a button or a link that does what the command in `fix` does."""
        if self.is_cancellable:
            return str(TO_CANCEL)
        if self.is_flapping:
            return str(FOR_FLAPPING)
        if self.is_one_occurrence:
            return str(FOR_ONE_OCCURRENCE)
        if self.is_backfillable:
            return general_advice(Kind.MISSED)
        return general_advice(Kind.FAILING) if self.lead.kind in FAILURES else self.fix

    @property
    def is_backfillable(self) -> bool:
        """Return whether it is about several occurrences that one task has missed."""
        lead = self.lead
        is_range = lead.until is not None and not self.is_one_occurrence
        return len(self.alerts) == 1 and lead.task is not None and is_range

    @property
    def is_cancellable(self) -> bool:
        """Return whether it is about one run that is still running."""
        return len(self.alerts) == 1 and self.lead.run is not None and self.lead.kind in GOING

    @property
    def records(self) -> list[AlertRecord]:
        """The alerts on which people can act."""
        return [alert.record for alert in self.alerts if alert.record is not None]

    @property
    def closed(self) -> list[AlertRecord]:
        """The alerts that a person has closed, although their problems remain."""
        return [alert.closed for alert in self.alerts if alert.closed is not None]

    @property
    def mutable(self) -> list[AlertRecord]:
        """The alerts that can be muted."""
        return self.records + self.closed

    @property
    def reopening(self) -> str:
        """The event that opens its alert again after a person has closed it."""
        return reopening(self.lead.kind)

    @property
    def is_acknowledged(self) -> bool:
        """Return whether all of its alerts that are open were acknowledged.

        Those without an alert, such as tasks that have run since, need nothing.
        """
        records = self.records
        return bool(records) and all(each.acknowledged_at for each in records)

    @property
    def acknowledged_by(self) -> str:
        """Those who acknowledged some of its alerts."""
        return ", ".join(sorted({each.acknowledged_by for each in self.records} - {""}))

    @property
    def is_retryable(self) -> bool:
        """Return whether it is about one failed run, or a missed one, which a person may retry."""
        is_one = len(self.alerts) == 1 and self.lead.run is not None
        has_failed = self.lead.kind in FAILURES and not self.is_flapping
        return is_one and (has_failed or self.is_one_occurrence)

    @property
    def will_recur(self) -> bool:
        """Return whether it is a delay that is over, whose tasks are due together again."""
        return self.lead.again_at is not None

    @property
    def is_flapping(self) -> bool:
        """Return whether it is about one task that fails intermittently."""
        return len(self.alerts) == 1 and self.lead.is_flapping

    @property
    def has_failed_runs(self) -> bool:
        """Return whether it is about runs that failed."""
        return self.lead.kind in FAILURES

    @property
    def is_one_occurrence(self) -> bool:
        """Return whether it is about a single occurrence that was missed."""
        lead = self.lead
        is_missed = lead.kind == Kind.MISSED and len(self.alerts) == 1 and lead.missed == 1
        return is_missed and lead.since is not None and lead.since == lead.until

    def muted_until(self, now: datetime) -> datetime | None:
        """Return until when all of its alerts are muted; None if one is not."""
        muted = [each.muted_until for each in self.mutable if each.is_muted(now)]
        return min(muted) if muted and len(muted) == len(self.mutable) else None

    def is_handled(self, now: datetime) -> bool:
        """Return whether it is handled: it is acknowledged, muted, or not a problem."""
        is_muted = self.muted_until(now) is not None
        return self.is_acknowledged or is_muted or self.severity == Severity.INFO

    @property
    def affects(self) -> str:
        """The tasks or queues that are affected, the first ones by name."""
        named = list(dict.fromkeys(_subject(alert) for alert in self.alerts if _subject(alert)))
        return formatting.first_of(named, most=MAX_SUBJECTS_NAMED)


def grouped(alerts: Sequence[Alert]) -> list[AlertGroup]:
    """Return the alerts by cause, in the order of the first alert of each."""
    causes = [alert for alert in alerts if alert.kind in CONSEQUENCES and not alert.is_over]
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
    if alert.closed is not None:
        return f"closed-{alert.closed.pk}"
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
    return f"{alert.kind}-{hashlib.blake2b(cause.encode(), digest_size=6).hexdigest()}"


def _subject(alert: Alert) -> str:
    if alert.what and alert.next_run:
        moment = in_zone(alert.next_run, timezone.get_current_timezone())
        named = {"task": alert.what, "moment": moment}
        return gettext("%(task)s (due again at %(moment)s)") % named
    if alert.what:
        return alert.what
    if not alert.queues:
        return ""
    return gettext("queue %s") % ", ".join(alert.queues)
