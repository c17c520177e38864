"""The history of alerts, newest first: open alerts, and closed ones by problem.

One night's delay may close sixteen alerts that say the same. They are one row of a list. Open
alerts have a row each, because people handle them one by one.

An index leads to the alerts of a task. No index has those of a kind or in a state, so a search for
these reads the newest `MAX_LOOKED_AT` alerts. The reader can continue from there.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter

from django.utils.text import capfirst
from django.utils.translation import gettext

from sisy.alerting.problem import as_sentence, of_task
from sisy.models import Alert as AlertRecord
from sisy.models.alert import AlertQuerySet
from sisy.records.problems import Kind, Severity
from sisy.reports import formatting
from sisy.reports.alerts.group import AlertGroup
from sisy.reports.filters import Filter
from sisy.reports.ledger import PAGE_LIMIT, key_of

MAX_READ = 500  # alerts for a page: many of them may share a row
MAX_LOOKED_AT = 10_000  # alerts that a search without an index reads
MAX_COUNTED = 100  # alerts of a task
OPEN, CLOSED = STATES = ("open", "closed")
KINDS = (
    *(Kind.FAILING, Kind.LOST, Kind.MISSED, Kind.BROKEN, Kind.LATE, Kind.SLOW, Kind.STALLED),
    *(Kind.SILENT, Kind.QUEUED, Kind.NO_WORKER, Kind.NO_HEARTBEAT),
)
"""The kinds that have alerts. Reports find problems of the other kinds in each request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertFilter(Filter):
    """The filters of a list of alerts."""

    choices = {"state": STATES, "kind": [kind.value for kind in KINDS]}

    state: str = ""
    kind: str = ""
    task: str = ""

    @property
    def is_anything(self) -> bool:
        """Return whether all alerts match."""
        return not any(getattr(self, field.name) for field in fields(self))

    @property
    def has_index(self) -> bool:
        """Return whether an index leads to the alerts that match, or all alerts do."""
        return bool(self.task) or self.is_anything

    def alerts(self, using: str) -> AlertQuerySet:
        """Return the alerts that match; none for an unknown value."""
        found: AlertQuerySet = AlertRecord.objects.using(using).all()
        is_known = all(getattr(self, name) in ("", *known) for name, known in self.choices.items())
        task = key_of(self.task)
        if not is_known or (self.task and task is None):
            return found.none()
        if self.state:
            found = found.open() if self.state == OPEN else found.closed()
        if self.kind:
            found = found.filter(kind=self.kind)
        return found if task is None else found.filter(subject=of_task(task))


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
        """The task, function or queue of the newest alert."""
        name = self.lead.name
        return gettext("queue %s") % name if self.lead.is_about_queue else name

    @property
    def what(self) -> str:
        """The task, function or queue of the newest alert, and the number of others."""
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
    def recurred(self) -> str:
        """The number of times that it recurred soon, and kept its start, in words."""
        return formatting.recurred(max(alert.reopened for alert in self.alerts))

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPage:
    """A page of the history.

    Attributes:
        alerts: the alerts of at most `PAGE_LIMIT` rows, newest first.
        next_before: the key below which the next page begins; None if this is the last one.
        is_cut_short: whether the search stopped before it found enough.
    """

    alerts: Sequence[AlertRecord]
    next_before: int | None
    is_cut_short: bool


def page_of_alerts(using: str, filters: AlertFilter, before: int | None) -> AlertPage:
    """Return the newest alerts that match, with keys below ``before``."""
    found = filters.alerts(using)
    if before is not None:
        found = found.filter(pk__lt=before)
    last = None if filters.has_index else _last_looked_at(using, before)
    if last is not None:
        found = found.filter(pk__gte=last)
    read = list(found.order_by("-pk")[: MAX_READ + 1])
    shown = _of_rows(read[:MAX_READ], PAGE_LIMIT)
    has_more = len(shown) < len(read)
    return AlertPage(
        alerts=shown,
        next_before=shown[-1].pk if has_more else last,
        is_cut_short=not has_more and last is not None,
    )


def rows_of(alerts: Iterable[AlertRecord], seen: Mapping[int, AlertGroup]) -> list[AlertRow]:
    """Return the rows of a list. Closed alerts of one problem are one row.

    Of the alerts that were opened together, open ones come first, by the start of their problem.

    Args:
        alerts: the newest first.
        seen: what the latest runs say, by the key of each open alert; see `seen_now`.
    """
    together: dict[Hashable, list[AlertRecord]] = {}
    for alert in _by_start(alerts):
        together.setdefault(_row_of(alert), []).append(alert)
    return [
        AlertRow(alerts=tuple(several), seen=seen.get(several[0].pk))
        for several in together.values()
    ]


def number_of_task(using: str, task: int) -> str:
    """Return how many alerts a task has had, such as "3" or "100+"; empty for none."""
    alerts = AlertRecord.objects.using(using).filter(subject=of_task(task)).order_by()
    number = alerts[: MAX_COUNTED + 1].count()
    return f"{MAX_COUNTED}+" if number > MAX_COUNTED else str(number or "")


def _last_looked_at(using: str, before: int | None) -> int | None:
    """Return the key at which a search without an index stops; None if it reads all alerts."""
    alerts = AlertRecord.objects.using(using).order_by("-pk")
    if before is not None:
        alerts = alerts.filter(pk__lt=before)
    keys = alerts.values_list("pk", flat=True)[MAX_LOOKED_AT - 1 : MAX_LOOKED_AT]
    return next(iter(keys), None)


def _of_rows(alerts: Sequence[AlertRecord], most: int) -> Sequence[AlertRecord]:
    """Return the first alerts, up to that with which one more row would begin."""
    rows = set()
    for place, alert in enumerate(alerts):
        rows.add(_row_of(alert))
        if len(rows) > most:
            return alerts[:place]
    return alerts


def _by_start(alerts: Iterable[AlertRecord]) -> Iterator[AlertRecord]:
    # A heartbeat opens the alerts of a round in the order of the keys of their tasks, as texts.
    for _, together in groupby(alerts, key=attrgetter("opened_at")):
        yield from sorted(together, key=_start_if_open, reverse=True)


def _start_if_open(alert: AlertRecord) -> tuple[bool, datetime]:
    # Closed alerts come after the open ones, in their own order.
    return alert.is_open, alert.since if alert.is_open else alert.opened_at


def _row_of(alert: AlertRecord) -> Hashable:
    """Return what the alerts of a row have in common."""
    if alert.is_open:
        return alert.pk
    # An outage has a cause of its own. Other causes happen again and again.
    is_outage = alert.kind == Kind.MISSED and alert.cause
    since = None if is_outage else alert.since
    return (alert.kind, alert.cause or alert.why, since, alert.closed_by)
