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
from dataclasses import dataclass
from datetime import datetime

from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext, ngettext_lazy

from sisy.alerting.problem import as_sentence, without_numbers
from sisy.models import Alert as AlertRecord
from sisy.reports.alerts.alert import Alert, Kind, Severity

CONSEQUENCES = {
    Kind.NO_HEARTBEAT: {Kind.LATE, Kind.SILENT},
    Kind.NO_WORKER: {Kind.QUEUED, Kind.LATE, Kind.SILENT},
    Kind.QUEUE_PAUSED: {Kind.QUEUED, Kind.SILENT},
    Kind.QUEUED: {Kind.LATE},
}
"""By a kind of alert, the kinds that it may cause: of the same queue, if it is about a queue."""

ADVICE = {
    Kind.BROKEN: ngettext_lazy(
        "Open the task, correct it, and resume it.",
        "Open the tasks, correct them, and resume them.",
    ),
    Kind.FAILED: ngettext_lazy(
        "Open the run to read its error. Retry it when the cause is fixed.",
        "Open the runs to read their errors. Retry them when the cause is fixed.",
    ),
    Kind.FAILING: ngettext_lazy(
        "Open the run to read its error. Retry it when the cause is fixed.",
        "Open the runs to read their errors. Retry them when the cause is fixed.",
    ),
    Kind.LATE: ngettext_lazy(
        "Check that a heartbeat is running and keeping up.",
        "Check that a heartbeat is running and keeping up.",
    ),
    Kind.MISSED: ngettext_lazy(
        "Backfill the task if the occurrences still need to run.",
        "Backfill the tasks if the occurrences still need to run.",
    ),
    Kind.QUEUED: ngettext_lazy(
        "Start a worker for the queue, or add workers.",
        "Start workers for the queues, or add workers.",
    ),
}
"""The advice for one or several problems whose alerts have none."""

FAILURES = {Kind.FAILING, Kind.FAILED, Kind.LOST}
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
        if self.is_one_occurrence:
            general = gettext("Retry the run if the occurrence still needs to run.")
        else:
            advice = ADVICE.get(self.lead.kind)
            general = str(advice % len(self.same)) if advice else ""
        # What helps one of several tasks, such as a command for its run, may harm the others.
        is_one = len({alert.fix for alert in self.same}) == 1
        return self.lead.fix or general if is_one else general

    @property
    def records(self) -> list[AlertRecord]:
        """The alerts on which people can act."""
        return [alert.record for alert in self.alerts if alert.record is not None]

    @property
    def is_acknowledged(self) -> bool:
        """Return whether all of its alerts were acknowledged."""
        records = self.records
        return len(records) == len(self.alerts) and all(each.acknowledged_at for each in records)

    @property
    def acknowledged_by(self) -> str:
        """Those who acknowledged some of its alerts."""
        return ", ".join(sorted({each.acknowledged_by for each in self.records} - {""}))

    @property
    def is_retryable(self) -> bool:
        """Return whether it is about one failed run, or a missed one, which a person may retry."""
        is_one = len(self.alerts) == 1 and self.lead.run is not None
        return is_one and (self.lead.kind in FAILURES or self.is_one_occurrence)

    @property
    def is_one_occurrence(self) -> bool:
        """Return whether it is about a single occurrence that was missed."""
        is_missed = self.lead.kind == Kind.MISSED and len(self.alerts) == 1
        return is_missed and self.lead.since is not None and self.lead.since == self.lead.until

    def muted_until(self, now: datetime) -> datetime | None:
        """Return until when all of its alerts are muted; None if one is not."""
        muted = [each.muted_until for each in self.records if each.is_muted(now)]
        return min(muted) if muted and len(muted) == len(self.records) else None

    def is_handled(self, now: datetime) -> bool:
        """Return whether it is handled: it is acknowledged, muted, or not a problem."""
        is_muted = len(self.records) == len(self.alerts) and self.muted_until(now) is not None
        return self.is_acknowledged or is_muted or self.severity == Severity.INFO

    @property
    def affects(self) -> str:
        """The tasks or queues that are affected, the first ones by name."""
        named = list(dict.fromkeys(_subject(alert) for alert in self.alerts if _subject(alert)))
        shown, more = ", ".join(named[:MAX_SUBJECTS_NAMED]), named[MAX_SUBJECTS_NAMED:]
        if not more:
            return shown
        return gettext("%(shown)s and %(more)d more") % {"shown": shown, "more": len(more)}


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
    return sorted(found, key=lambda group: places[id(group.lead)])


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
    if alert.what:
        return alert.what
    if not alert.queues:
        return ""
    return gettext("queue %s") % ", ".join(alert.queues)


def in_words(groups: Sequence[AlertGroup], now: datetime) -> str:
    """Return how many problems there are, and how many are handled; empty if none."""
    # A deliberate act, such as pausing a queue, is listed but does not count as a problem.
    problems = [group for group in groups if group.severity != Severity.INFO]
    number = sum(group.number for group in problems)
    if not number:
        return ""
    words = ngettext("%d problem", "%d problems", number) % number
    handled = []
    if known := sum(group.is_acknowledged for group in problems):
        handled.append(ngettext("%d acknowledged", "%d acknowledged", known) % known)
    if muted := sum(group.muted_until(now) is not None for group in problems):
        handled.append(ngettext("%d muted", "%d muted", muted) % muted)
    return f"{words} ({', '.join(handled)})" if handled else words
