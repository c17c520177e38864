"""The delays of the last 24 hours that are over, as their alerts recorded them.

A backlog at midnight is gone by the morning, and so are its alerts. It may return the next night,
so people must see that it happened.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import starmap
from operator import attrgetter
from typing import NamedTuple, TypeVar

from django.utils import timezone
from django.utils.translation import gettext, ngettext

from sisy.alerting.problem import as_sentence
from sisy.models import Alert as AlertRecord
from sisy.models import Run, Task
from sisy.reports.alerts.alert import Alert, Kind, Severity
from sisy.reports.alerts.recurrence import NOT_TOGETHER, Recurrence
from sisy.runtime.durations import in_zone, rounded_text

KINDS = (Kind.LATE, Kind.QUEUED)
NO_TIME, DAY = timedelta(0), timedelta(days=1)
MAX_CLOSED_READ = 500  # alerts that were closed last
MAX_DELAYS_SHOWN = 3  # those that were longest

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Runs of a queue that were due at the same second, and did not start in time.

    Attributes:
        number: how many runs had an alert; 0 if only their queue had one.
        waited: the longest time that one of them waited, or for which the queue was delayed.
        cause: the cause that an alert named; empty if none did.
        is_due_again: whether some of their tasks are due again.
        again_at: when several of their tasks are due next; None if each is due at another moment.
    """

    queue: str
    due: datetime
    number: int
    waited: timedelta
    cause: str
    is_due_again: bool
    again_at: datetime | None


class _Closed(NamedTuple):
    """The columns of an alert that was closed."""

    kind: str
    queue: str
    run_id: int
    cause: str
    since: datetime
    closed_at: datetime


class _Started(NamedTuple):
    """A run that an alert is about: when it was due, and how long it waited for its start."""

    task_id: int
    due: datetime
    waited: timedelta


def closed_since(using: str, since: datetime) -> int:
    """Return how many alerts were closed since a moment, at most `MAX_CLOSED_READ`."""
    closed = AlertRecord.objects.using(using).filter(closed_at__gte=since)
    return closed.order_by("-closed_at")[:MAX_CLOSED_READ].count()


def closed_in_words(closed: int) -> str:
    """Return how many alerts were closed in the last 24 hours; see `closed_since`."""
    number = f"{closed}+" if closed == MAX_CLOSED_READ else str(closed)
    words = ngettext(
        "%s alert was closed in the last 24 hours.",
        "%s alerts were closed in the last 24 hours.",
        closed,
    )
    return words % number


def recovered_alerts(using: str, now: datetime, slots: Mapping[str, int]) -> Iterator[Alert]:
    """Yield the delays of the last 24 hours that are over, the longest first.

    Args:
        slots: how many slots the workers have, by queue.
    """
    delays = past_delays(using, now)
    # Several delays of a queue often have the same tasks, which are due together once.
    recurrence = cache(lambda queue, at: Recurrence.of(using, queue, at, slots))
    for delay in delays[:MAX_DELAYS_SHOWN]:
        again = delay.again_at and recurrence(delay.queue, delay.again_at)
        yield Alert(
            kind=Kind.LATE if delay.number else Kind.QUEUED,
            severity=Severity.INFO,
            why=in_words(delay),
            fix=str(again or NOT_TOGETHER) if delay.is_due_again else "",
            since=delay.due,
            until=delay.due + delay.waited,
            queues=(delay.queue,),
            is_over=True,
            again_at=again.at if again and again.is_too_much else None,
            is_spreadable=bool(again and again.is_spreadable),
        )
    if more := len(delays[MAX_DELAYS_SHOWN:]):
        words = ngettext(
            "%d more delay in the last 24 hours.",
            "%d more delays in the last 24 hours.",
            more,
        )
        yield Alert(
            kind=Kind.LATE,
            severity=Severity.INFO,
            why=words % more,
            number=more,
            is_over=True,
        )


def past_delays(using: str, now: datetime) -> list[Delay]:
    """Return the delays whose alerts were closed in the last 24 hours, the longest first.

    A queue that is delayed now is left out: its open alerts say that.
    """
    # What a person has closed may last.
    closed = AlertRecord.objects.using(using).filter(closed_at__gte=now - DAY, closed_by="")
    # Without a condition for the kind, so that the index of this order bounds what is read.
    columns = ("kind", "queue", "run_id", "cause", "since", "closed_at")
    newest = closed.order_by("-closed_at").values_list(*columns)[:MAX_CLOSED_READ]
    alerts = [alert for alert in starmap(_Closed, newest) if alert.kind in KINDS]
    if not alerts:
        return []
    lasting = AlertRecord.objects.using(using).open().filter(kind__in=KINDS)
    queues = set(lasting.order_by().values_list("queue", flat=True))
    runs = _started(using, [alert.run_id for alert in alerts if alert.queue not in queues])
    together: dict[tuple[str, datetime], list[_Closed]] = defaultdict(list)
    for alert in alerts:
        if alert.run_id in runs:
            together[alert.queue, runs[alert.run_id].due].append(alert)
    tasks = {run.task_id for run in runs.values()}
    next_of = dict(Task.objects.using(using).filter(pk__in=tasks).values_list("pk", "next_run"))
    found = [_delay(*key, several, runs, next_of) for key, several in together.items()]
    # A task that was late alone is not listed. Its page shows that it was late.
    delays = [each for each in found if each.waited]
    return sorted(delays, key=attrgetter("waited"), reverse=True)


def _started(using: str, keys: Collection[int]) -> dict[int, _Started]:
    """Return the runs of tasks with these keys, by key."""
    runs = Run.objects.using(using).filter(pk__in=keys, task_id__isnull=False)
    columns = ("pk", "task_id", "due_at", "ready_at", "started_at")
    return {
        pk: _Started(
            task_id=task,
            due=(due_at or ready_at).replace(microsecond=0),
            waited=max(NO_TIME, started_at - ready_at) if started_at else NO_TIME,
        )
        for pk, task, due_at, ready_at, started_at in runs.values_list(*columns)
    }


def _delay(
    queue: str,
    due: datetime,
    alerts: Sequence[_Closed],
    runs: Mapping[int, _Started],
    next_of: Mapping[int, datetime | None],
) -> Delay:
    """Return the delay that several alerts recorded; one of 0 s if one task was late alone."""
    late = [alert for alert in alerts if alert.kind == Kind.LATE]
    late = late if len(late) > 1 else []
    of_queue = [alert for alert in alerts if alert.kind == Kind.QUEUED]
    waited = [runs[alert.run_id].waited for alert in late]
    lasted = [alert.closed_at - alert.since for alert in of_queue]
    shown = late or of_queue
    again = list(filter(None, (next_of.get(runs[alert.run_id].task_id) for alert in shown)))
    return Delay(
        queue=queue,
        due=due,
        number=len(late),
        waited=max(waited or lasted, default=NO_TIME),
        cause=_most_common(alert.cause for alert in shown) or "",
        is_due_again=bool(again),
        again_at=_most_common(again),
    )


def in_words(delay: Delay) -> str:
    """Return what a delay was, in one or two sentences."""
    words = gettext(
        "The queue '%(queue)s' was delayed for %(waited)s. Its oldest run was due at %(due)s."
    )
    if delay.number:
        words = ngettext(
            "%(number)d of the runs due at %(due)s waited %(waited)s to start.",
            "%(number)d of the runs due at %(due)s waited up to %(waited)s to start.",
            delay.number,
        )
    then = gettext(" Cause at that time: %s")
    cause = then % as_sentence(delay.cause) if delay.cause else ""
    named = {
        "number": delay.number,
        "queue": delay.queue,
        "due": in_zone(delay.due, timezone.get_current_timezone()),
        "waited": rounded_text(delay.waited),
    }
    return f"{words % named}{cause}"


def _most_common(values: Iterable[T]) -> T | None:
    """Return the value that several have in common, or the only one; otherwise None."""
    counted = Counter(values)
    for value, number in counted.most_common(1):
        if number > 1 or len(counted) == 1:
            return value
    return None
