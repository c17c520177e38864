"""The alerts that one cause has, which people see and handle as one problem."""

from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext, ngettext

from sisy.alerting.problem import as_sentence
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
    def recurred(self) -> str:
        """The number of times that it recurred soon, and kept its start, in words."""
        return formatting.recurred(max((each.reopened for each in self.mutable), default=0))

    @property
    def until(self) -> datetime | None:
        """The last of the occurrences that were missed, or the end of a delay; otherwise None."""
        return max((alert.until for alert in self.alerts if alert.until), default=None)

    @property
    def number(self) -> int:
        """The number of problems: one, or those that the row only counts."""
        return self.lead.number if len(self.alerts) == 1 else 1

    @property
    def has_several_tasks(self) -> bool:
        """Return whether it is about more than one task, each with an alert or only counted."""
        return len(self.alerts) > 1 or self._problems > 1

    @property
    def _problems(self) -> int:
        return max(self.number, len(self.same))

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
        """The advice; empty if the text has it, or if it needs none."""
        if self.needs_nothing:
            return ""
        if self.lead.is_over:
            return self.lead.fix
        general = (
            str(FOR_ONE_OCCURRENCE)
            if self.is_one_occurrence
            else general_advice(self.lead.kind, self._problems)
        )
        # What helps one of several tasks, such as a command for its run, may harm the others.
        is_one = len({alert.fix for alert in self.same}) == 1
        return self.lead.fix or general if is_one else general

    @property
    def advice(self) -> str:
        """The advice beside a button or a link that does what the command in `fix` does."""
        if self.needs_nothing:
            return ""
        if self.is_cancellable:
            return str(TO_CANCEL)
        if self.is_flapping:
            return str(FOR_FLAPPING)
        if self.is_one_occurrence:
            return str(FOR_ONE_OCCURRENCE)
        if self.is_backfillable:
            return general_advice(Kind.MISSED)
        if self.lead.kind in FAILURES:
            return general_advice(Kind.FAILING, self._problems)
        return self.fix

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
        """The alerts that a person has closed, although their problems remain.

        There are none if the alert about their common cause is open.
        """
        if self.lead.closed is None:
            return []
        return [alert.closed for alert in self.alerts if alert.closed is not None]

    @property
    def closed_by(self) -> str:
        """Those who closed some of its alerts."""
        return ", ".join(sorted({each.closed_by for each in self.closed}))

    @property
    def closed_at(self) -> datetime | None:
        """The moment at which the last of these was closed."""
        return max((each.closed_at for each in self.closed if each.closed_at), default=None)

    @property
    def needs_nothing(self) -> bool:
        """Return whether a person closed it and so decided that it needs no action."""
        return bool(self.closed) and self.severity == Severity.INFO

    @property
    def mutable(self) -> list[AlertRecord]:
        """The alerts that can be muted."""
        return self.records + self.closed

    @property
    def reopening(self) -> str:
        """The event that opens its alert again after a person has closed it."""
        return reopening(self.lead.kind, len(self.closed or self.records))

    @property
    def is_acknowledged(self) -> bool:
        """Return whether all of its alerts that are open were acknowledged.

        Those without an alert, such as tasks that have run since, need nothing.
        """
        records = self.records
        return bool(records) and all(each.acknowledged_at for each in records)

    @property
    def acknowledged(self) -> str:
        """Who acknowledged it, and how many of its alerts if not all; empty if no one did."""
        known = [each for each in self.records if each.acknowledged_at is not None]
        named = {"by": self.acknowledged_by, "number": len(known), "all": len(self.records)}
        if len(known) == len(self.records):
            return gettext("acknowledged by %(by)s") % named if known else ""
        words = gettext("%(number)d of %(all)d acknowledged by %(by)s")
        return words % named if known else ""

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
