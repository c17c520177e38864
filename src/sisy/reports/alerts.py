"""The problems that need attention: failures, late tasks, missed occurrences, missing workers.

Each kind costs a bounded number of statements, whatever the number of tasks and runs. At most
`MAX_GROUPS_SHOWN` things of a kind are named; a last row says how many more there are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, Min, OuterRef, QuerySet
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from sisy.models import Run, RunState, Task, TaskState
from sisy.models.timing import ON_TIME_TOLERANCE
from sisy.reports import disclosure, lately
from sisy.reports.lately import MAX_GROUPS_SHOWN, Group
from sisy.reports.processes import missing_processes, paused_queues, troubled_workers
from sisy.reports.queued import class_of_error
from sisy.reports.service import Service

MAX_TIME_IN_QUEUE = timedelta(seconds=60)  # for which a run may be queued


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One thing that is not as it should be, or a number of further ones of its kind."""

    kind: str
    what: str
    """The label of the task, or the queue, or nothing in particular."""
    why: str
    since: datetime | None = None
    task: int | None = None
    run: int | None = None
    number: int = 1
    """How many things the row stands for."""


def find_alerts(using: str, now: datetime, *, in_full: bool = False) -> list[Alert]:
    """Return what is not as it should be, the gravest first.

    Args:
        in_full: whether the texts of errors may be shown; see `sisy.reports.disclosure`.
    """
    service = Service.at(using, now)
    kinds = (
        _nobody_up(),
        _broken(using),
        _failing(using, now, in_full),
        _late(using, now),
        _stuck(using, now, service),
        _missed(using, now),
    )
    return [alert for kind in kinds for alert in kind]


def _nobody_up() -> Iterator[Alert]:
    for sentence in (*missing_processes(), *troubled_workers(), *paused_queues()):
        yield Alert(kind="site", what="", why=sentence)


def _broken(using: str) -> Iterator[Alert]:
    broken = Task.objects.using(using).filter(state=TaskState.BROKEN).order_by("label", "pk")
    for task in broken[:MAX_GROUPS_SHOWN]:
        yield Alert(kind=TaskState.BROKEN, what=task.label, why=task.state_reason, task=task.pk)
    yield from _more(
        TaskState.BROKEN,
        _beyond(broken),
        lambda n: ngettext("and %d more broken task", "and %d more broken tasks", n),
    )


def _failing(using: str, now: datetime, in_full: bool) -> Iterator[Alert]:
    """Yield what failed lately, also if it has succeeded since: it may fail again tonight."""
    groups, more = lately.failing(using, now)
    for group in groups:
        yield _of_group(group, _failures(group, in_full))
    yield from _more(
        RunState.FAILED,
        more,
        lambda n: ngettext(
            "and %d more task that failed in the last 24 hours",
            "and %d more tasks that failed in the last 24 hours",
            n,
        ),
    )


def _failures(group: Group, in_full: bool) -> str:
    named = {"number": group.number, "of": group.of}
    words = ngettext(
        "Failed %(number)d of %(of)d time in the last 24 hours",
        "Failed %(number)d of %(of)d times in the last 24 hours",
        group.of,
    )
    if group.number == group.of == 1:
        words = gettext("Failed once in the last 24 hours")
    reason = disclosure.reason_of(group.newest, in_full=in_full)
    cause = class_of_error(group.newest) or reason.rstrip(".")
    sentence = f"{words % named}: {cause}." if cause else f"{words % named}."
    return (
        f"{sentence} {gettext('The latest run succeeded.')}" if group.has_recovered else sentence
    )


def _of_group(group: Group, why: str) -> Alert:
    newest, (task, _) = group.newest, group.key
    return Alert(
        kind=newest.state,
        what=group.label,
        why=why,
        since=newest.finished_at,
        task=task,
        run=newest.pk,
    )


def _late(using: str, now: datetime) -> Iterator[Alert]:
    late = Task.objects.using(using).due(now - ON_TIME_TOLERANCE)
    for task in late[:MAX_GROUPS_SHOWN]:
        why = gettext("is overdue: no heartbeat has planned it")
        yield Alert(kind="late", what=task.label, why=why, since=task.next_run, task=task.pk)
    yield from _more(
        "late",
        _beyond(late),
        lambda n: ngettext("and %d more late task", "and %d more late tasks", n),
    )


def _stuck(using: str, now: datetime, service: Service) -> Iterator[Alert]:
    """Yield the queues whose runs stay queued, for a worker or for the engine that has them."""
    going = Run.objects.running().filter(task=OuterRef("task"))
    late = Run.objects.using(using).queued().filter(ready_at__lt=now - MAX_TIME_IN_QUEUE)
    # What waits for its turn, behind another run of its task, needs no worker yet.
    late = late.exclude(queue__in=service.paused).filter(~Exists(going)).order_by()
    by_queue = late.values("engine", "queue").annotate(number=Count("pk"), oldest=Min("ready_at"))
    rows = list(by_queue.order_by("engine", "queue")[: MAX_GROUPS_SHOWN + 1])
    for row in rows[:MAX_GROUPS_SHOWN]:
        why = _queued(row["number"], row["engine"], row["queue"], service)
        what = row["engine"] or row["queue"]
        yield Alert(kind="late", what=what, why=why, since=row["oldest"])
    yield from _more(
        "late",
        by_queue.count() - MAX_GROUPS_SHOWN if len(rows) > MAX_GROUPS_SHOWN else 0,
        lambda n: ngettext("and %d more queue", "and %d more queues", n),
    )


def _queued(number: int, engine: str, queue: str, service: Service) -> str:
    if engine:
        return (
            ngettext(
                "%d run was sent to the engine, which has not started it",
                "%d runs were sent to the engine, which has not started them",
                number,
            )
            % number
        )
    zone = timezone.get_current_timezone()
    words = ngettext("%d run is queued", "%d runs are queued", number) % number
    cause = service.hindrance(queue, zone) or service.fullness(queue)
    return f"{words}: {cause}" if cause else words


def _missed(using: str, now: datetime) -> Iterator[Alert]:
    groups, more = lately.missed(using, now)
    for group in groups:
        words = ngettext(
            "%d occurrence was missed in the last 24 hours",
            "%d occurrences were missed in the last 24 hours",
            group.number,
        )
        yield _of_group(group, f"{words % group.number}: {group.newest.reason}")
    yield from _more(
        RunState.MISSED,
        more,
        lambda n: ngettext(
            "and %d more task with missed occurrences",
            "and %d more tasks with missed occurrences",
            n,
        ),
    )


def _beyond(rows: "QuerySet[Any]") -> int:
    """Return how many rows there are beyond those that are shown."""
    return (
        max(0, rows.count() - MAX_GROUPS_SHOWN)
        if rows[MAX_GROUPS_SHOWN : MAX_GROUPS_SHOWN + 1].exists()
        else 0
    )


def _more(kind: str, number: int, words: Any) -> Iterator[Alert]:
    if number:
        yield Alert(kind=kind, what="", why=words(number) % number, number=number)
