"""The alerts that people are notified of; each request finds further problems by itself."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from operator import attrgetter
from typing import cast

from django.db.models import Q, QuerySet
from django.utils.translation import ngettext

from sisy.alerting.problem import of_queue
from sisy.models import Alert as AlertRecord
from sisy.models import Run, Task
from sisy.records.choices import LIVE_STATES
from sisy.records.problems import Kind, Severity
from sisy.reports.alerts.alert import Alert
from sisy.reports.errors import MAX_GROUPS_SHOWN

MAX_LATE_SHOWN = 100  # late tasks: many have one cause, and are shown as one problem

UNTIL_ITS_END = (Kind.LATE, Kind.SLOW, Kind.STALLED)
"""The kinds of problems that a run has only until it ends."""
ANYTHING = Q()
"""The condition for all alerts."""
SAME = {
    Kind.FAILED: (Kind.FAILING, Kind.LOST, Kind.BROKEN),
    Kind.MISSED: (Kind.MISSED,),
    Kind.BROKEN: (Kind.BROKEN,),
    Kind.NO_WORKER: (Kind.NO_WORKER,),
    Kind.QUEUED: (Kind.QUEUED, Kind.NO_WORKER),
}
"""By the kind of a problem that reports find: the kinds of alerts about the same problem."""


def recorded_alerts(using: str, about: Q = ANYTHING) -> Iterator[Alert]:
    """Yield the open alerts, the newest first.

    Args:
        about: a condition; see `about_task` and `about_run`.
    """
    found = AlertRecord.objects.using(using).open().filter(about)
    late, more_late = _newest(found.filter(kind=Kind.LATE), MAX_LATE_SHOWN)
    others, more = _newest(found.exclude(kind=Kind.LATE), MAX_GROUPS_SHOWN)
    for record in sorted([*late, *others], key=attrgetter("pk"), reverse=True):
        yield of_record(record)
    if more_late:
        # One more problem at most: so many tasks are late for one reason.
        words = ngettext("And %d more late task.", "And %d more late tasks.", more_late)
        yield Alert(kind=Kind.LATE, severity=Severity.WARNING, why=words % more_late)
    if more:
        words = ngettext("And %d more open alert.", "And %d more open alerts.", more) % more
        yield Alert(kind=Kind.FAILING, severity=Severity.ERROR, why=words, number=more)


def listed_first(using: str) -> set[int]:
    """Return the keys of the open alerts that `recorded_alerts` yields and does not only count."""
    found = AlertRecord.objects.using(using).open().order_by("-pk").values_list("pk", flat=True)
    late = found.filter(kind=Kind.LATE)[:MAX_LATE_SHOWN]
    return {*late, *found.exclude(kind=Kind.LATE)[:MAX_GROUPS_SHOWN]}


def about_task(task: Task) -> Q:
    """Return the condition for alerts about a task, or about its queue."""
    return Q(task_id=task.pk) | Q(subject=of_queue(task.queue))


def about_run(run: Run) -> Q:
    """Return the condition for alerts that were opened because of a run.

    Once it has ended, it is neither late nor too slow, even if no heartbeat has noticed that yet.
    """
    is_of_run = Q(run_id=run.pk)
    return is_of_run if run.state in LIVE_STATES else is_of_run & ~Q(kind__in=UNTIL_ITS_END)


def _newest(found: QuerySet[AlertRecord], most: int) -> tuple[list[AlertRecord], int]:
    """Return the newest alerts, and how many more there are."""
    newest = list(found.order_by("-pk")[: most + 1])
    more = found.count() - most if len(newest) > most else 0
    return newest[:most], more


def last_closed_at(using: str) -> datetime | None:
    """Return when the last alert was closed; None if there is none."""
    closed = AlertRecord.objects.using(using).filter(closed_at__isnull=False)
    return closed.order_by("-closed_at").values_list("closed_at", flat=True).first()


def without_recorded(found: Iterable[Alert], recorded: Iterable[Alert]) -> Iterator[Alert]:
    """Yield the problems about which there is no alert."""
    known = {key for alert in recorded for key in _keys(alert.kind, alert)}
    for alert in found:
        about = {key for kind in SAME.get(alert.kind, ()) for key in _keys(kind, alert)}
        if known.isdisjoint(about):
            yield alert


def _keys(kind: Kind, alert: Alert) -> Iterator[tuple[Kind, object]]:
    """Yield what identifies the subject of a problem."""
    if alert.task is not None:
        yield kind, alert.task
    elif alert.path:
        yield kind, alert.path
    else:
        yield from ((kind, queue) for queue in alert.queues)


def _kind_of(record: AlertRecord) -> Kind:
    # After a rollback, there may be alerts of kinds that only the newer version knows.
    is_known = record.kind in Kind.values
    return Kind(record.kind) if is_known else cast("Kind", record.kind)


def of_record(record: AlertRecord) -> Alert:
    """Return a recorded alert with the words of its opening."""
    about, _, path = record.subject.partition(":")
    return Alert(
        kind=_kind_of(record),
        severity=record.severity,
        what="" if record.is_about_queue else record.name,
        why=record.why,
        cause=record.cause,
        fix=record.fix,
        since=record.since,
        queues=(record.queue,) if record.queue else (),
        task=record.task_id,
        path=path if about == "call" else "",
        run=record.run_id,
        record=record,
    )
