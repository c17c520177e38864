"""The history of alerts, newest first: open alerts, and closed ones by problem.

One night's delay may close sixteen alerts that say the same. They are one row of a list. Open
alerts have a row each, because people handle them one by one.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.text import capfirst
from django.utils.translation import gettext

from sisy.alerting.problem import as_sentence
from sisy.models import Alert as AlertRecord
from sisy.records.problems import Kind, Severity
from sisy.reports import formatting
from sisy.reports.alerts.grouping import AlertGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """An open alert, or the closed alerts of one problem.

    Attributes:
        alerts: the newest first.
        seen: an open alert with what its latest runs say; None for closed ones, which have the
            words of their opening.
    """

    alerts: tuple[AlertRecord, ...]
    seen: AlertGroup | None = None

    @property
    def lead(self) -> AlertRecord:
        return self.alerts[0]

    @property
    def severity(self) -> Severity:
        return self.seen.severity if self.seen else self.lead.severity

    @property
    def is_flapping(self) -> bool:
        return self.seen is not None and self.seen.is_flapping

    @property
    def subject(self) -> str:
        """The name of what the newest alert is about."""
        name = self.lead.name
        return gettext("queue %s") % name if self.lead.is_about_queue else name

    @property
    def what(self) -> str:
        """The name of what it is about, and how many more there are."""
        return formatting.first_of([self.subject], len(self.alerts), most=1)

    @property
    def why(self) -> str:
        """The text of the alert, or what the texts of all have in common."""
        if self.seen is not None:
            return self.seen.why
        if all(alert.why == self.lead.why for alert in self.alerts):
            return self.lead.why
        cause = as_sentence(self.lead.cause)
        # A clause becomes a sentence here. Other causes may be the names of errors.
        return capfirst(cause) if self.lead.kind == Kind.LATE else cause

    @property
    def run(self) -> int | None:
        """The key of the newest run that shows the problem."""
        return self.seen.lead.run if self.seen else self.lead.run_id

    @property
    def since(self) -> datetime:
        since: datetime = min(alert.since for alert in self.alerts)
        return since

    @property
    def closed_at(self) -> datetime | None:
        """The moment at which the last of them was closed; None if it is open."""
        closed = [alert.closed_at for alert in self.alerts if alert.closed_at]
        return None if self.lead.is_open else max(closed, default=None)

    @property
    def lasted(self) -> timedelta | None:
        """The time for which the problem lasted; None if it is open."""
        return max(timedelta(0), self.closed_at - self.since) if self.closed_at else None

    @property
    def close_reason(self) -> str:
        """The reason for which they were closed; empty if there are several."""
        reasons = {alert.close_reason for alert in self.alerts}
        return self.lead.close_reason if len(reasons) == 1 else ""

    @property
    def acknowledged_by(self) -> str:
        """The people who acknowledged some of them."""
        return ", ".join(sorted({alert.acknowledged_by for alert in self.alerts} - {""}))


def rows_of(alerts: Iterable[AlertRecord], seen: Mapping[int, AlertGroup]) -> list[AlertRow]:
    """Return the rows of a list. Closed alerts of one problem are one row.

    Args:
        seen: what the latest runs say, by the key of each open alert; see `seen_now`.
    """
    together: dict[Hashable, list[AlertRecord]] = {}
    for alert in alerts:
        together.setdefault(_row_of(alert), []).append(alert)
    return [
        AlertRow(alerts=tuple(several), seen=seen.get(several[0].pk))
        for several in together.values()
    ]


def _row_of(alert: AlertRecord) -> Hashable:
    """Return what the alerts of a row have in common."""
    if alert.is_open:
        return alert.pk
    # An outage has a cause of its own. Other causes happen again and again.
    is_outage = alert.kind == Kind.MISSED and alert.cause
    since = None if is_outage else alert.since
    return (alert.kind, alert.cause or alert.why, since, alert.closed_by)
