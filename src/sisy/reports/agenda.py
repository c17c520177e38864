"""The agenda: the occurrences of tasks that are seldom due, by time.

Nobody looks up when a task that is due every few minutes runs next. A nightly backup, a report on
Mondays or an invoice run is what people look for.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from sisy.models import Run
from sisy.records.small_tables import QueuedRun
from sisy.reports.load import NO_TIME, DueGroup
from sisy.schedules.calendar import just_before

MAX_OCCURRENCES = 6  # of a task that is seldom due, in the range
MAX_LISTED = 100  # moments


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The tasks that are due at a moment.

    Attributes:
        tasks: the labels of some, each with the number of further tasks with its schedule.
        takes: how long the longest of their runs usually takes; 0 if that is unknown.
    """

    at: datetime
    tasks: list[tuple[str, int]]
    takes: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """The moments at which seldom tasks are due, in their order.

    Attributes:
        frequent: the number of tasks that are due more often, and are not listed.
        more: how many later moments are not listed.
    """

    moments: list[Due]
    frequent: int
    more: int


def agenda(using: str, groups: Iterable[DueGroup], start: datetime, end: datetime) -> Agenda:
    """Return what is due in a range, without tasks that are due more than `MAX_OCCURRENCES` times.

    Args:
        groups: the tasks with a schedule. Runs that were submitted for later, and retries, are
            read here.
        start: included.
        end: excluded.
    """
    due_at: dict[datetime, list[DueGroup]] = {}
    for moment, label in _delayed(using, start, end):
        due_at.setdefault(moment, []).append(DueGroup(expression="", timezone="", key=label))
    frequent = 0.0
    for group in groups:
        schedule = group.schedule()
        if schedule is None:
            continue
        first, last = map(just_before, group.within(start, end))
        moments = list(islice(schedule.between(first, last), MAX_OCCURRENCES + 1))
        if len(moments) > MAX_OCCURRENCES:
            frequent += group.number
            continue
        for due in moments:
            due_at.setdefault(due, []).append(group)
    listed = sorted(due_at)[:MAX_LISTED]
    return Agenda(
        moments=[_due(moment, due_at[moment]) for moment in listed],
        frequent=round(frequent),
        more=len(due_at) - len(listed),
    )


def _delayed(using: str, start: datetime, end: datetime) -> Iterator[tuple[datetime, str]]:
    """Yield when queued runs that are not of a schedule start, and the labels of their tasks."""
    entries = QueuedRun.objects.using(using).filter(is_delayed=True, is_ahead=False)
    due = entries.filter(ready_at__gte=start, ready_at__lt=end).order_by("ready_at")
    keys = list(due.values_list("run_id", flat=True)[:MAX_LISTED])
    for run in Run.objects.using(using).filter(pk__in=keys).only("ready_at", "label"):
        yield run.ready_at, run.label


def _due(moment: datetime, groups: list[DueGroup]) -> Due:
    largest = sorted(groups, key=lambda group: (-group.number, group.key))
    return Due(
        at=moment,
        tasks=[(group.key, max(0, round(group.number) - 1)) for group in largest],
        takes=max((group.takes for group in groups), default=NO_TIME),
    )
