"""The agenda: the occurrences of tasks that are seldom due, by time.

Nobody looks up when a task that is due every few minutes runs next. A nightly backup, a report on
Mondays or an invoice run is what people look for.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain, islice

from django.utils.translation import gettext

from sisy.models import Run
from sisy.records.small_tables import QueuedRun
from sisy.reports.durations import usual_of_each
from sisy.reports.load import NO_TIME, DueGroup
from sisy.schedules.calendar import just_before
from sisy.store.run_queries import known_task

MAX_OCCURRENCES = 6  # of a task that is seldom due, in the range
MAX_LISTED = 100  # moments
MAX_FREQUENT_NAMED = 5  # tasks that are due more often, each of another schedule
MAX_FREQUENT_LISTED = 100
MAX_TASKS_NAMED = 10  # of a moment, each of another schedule
MAX_GROUPS_LOOKED_UP = 10  # the next groups whose durations are looked up by task


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Tasks with one schedule, named by one of them.

    Attributes:
        label: the label of that task.
        more: the number of further tasks.
        task: the key of the task; None if there are several, or if it was deleted.
        times: how often it is due in the range, if it is due often.
    """

    label: str
    more: int
    task: int | None
    times: int = 0

    @classmethod
    def of(cls, group: DueGroup, times: int = 0) -> "Named":
        """Return the name of a group of tasks."""
        more = max(0, round(group.number) - 1)
        is_one = not more and len(group.sample) == 1
        return cls(
            label=group.key, more=more, task=group.sample[0] if is_one else None, times=times
        )

    def __str__(self) -> str:
        if not self.more:
            return self.label
        return gettext("%(label)s (and %(more)d more)") % {"label": self.label, "more": self.more}


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The tasks that are due at a moment.

    Attributes:
        tasks: the names of some.
        more: the number of further tasks.
        takes: how long the longest of their runs usually takes; 0 if that is unknown.
    """

    at: datetime
    tasks: list[Named]
    more: int
    takes: timedelta

    @property
    def has_several(self) -> bool:
        """Return whether several tasks are due."""
        return len(self.tasks) > 1 or any(name.more for name in self.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """The moments at which seldom tasks are due, in their order.

    Attributes:
        frequent: the number of tasks that are due more often, and are not listed.
        names: the names of these, the most seldom due first; of `MAX_FREQUENT_LISTED` at most.
        more: how many later moments are not listed.
        queues: the queues of all tasks that are due.
    """

    moments: list[Due]
    frequent: int
    names: list[Named]
    more: int
    queues: frozenset[str]


def agenda(using: str, groups: Iterable[DueGroup], start: datetime, end: datetime) -> Agenda:
    """Return what is due in a range, without tasks that are due more than `MAX_OCCURRENCES` times.

    Args:
        groups: the tasks with a schedule. Runs that were submitted for later, and retries, are
            read here.
        start: included.
        end: excluded.
    """
    due_at: dict[datetime, list[DueGroup]] = {}
    for moment, group in _delayed(using, start, end):
        due_at.setdefault(moment, []).append(group)
    often: list[tuple[int, DueGroup]] = []
    for group in groups:
        schedule = group.schedule()
        if schedule is None:
            continue
        first, last = map(just_before, group.within(start, end))
        moments = list(islice(schedule.between(first, last), MAX_OCCURRENCES + 1))
        if len(moments) > MAX_OCCURRENCES:
            often.append((schedule.count_between(first, last), group))
            continue
        for due in moments:
            due_at.setdefault(due, []).append(group)
    listed = {moment: due_at[moment] for moment in sorted(due_at)[:MAX_LISTED]}
    takes = _looked_up(using, (group for groups in listed.values() for group in groups))
    often.sort(key=lambda each: (each[0], -each[1].number, each[1].key))
    return Agenda(
        moments=[_due(moment, groups, takes) for moment, groups in listed.items()],
        frequent=round(sum(group.number for _, group in often)),
        names=[Named.of(group, times) for times, group in often[:MAX_FREQUENT_LISTED]],
        more=len(due_at) - len(listed),
        queues=frozenset(
            group.queue for group in chain(*due_at.values(), (group for _, group in often))
        ),
    )


def _delayed(using: str, start: datetime, end: datetime) -> Iterator[tuple[datetime, DueGroup]]:
    """Yield when queued runs that are not of a schedule start, and their tasks."""
    entries = QueuedRun.objects.using(using).filter(is_delayed=True, is_ahead=False)
    due = entries.filter(ready_at__gte=start, ready_at__lt=end).order_by("ready_at")
    keys = list(due.values_list("run_id", flat=True)[:MAX_LISTED])
    runs = Run.objects.using(using).filter(pk__in=keys).annotate(known_task=known_task(Run))
    columns = ("ready_at", "label", "known_task", "queue")
    for ready_at, label, task, queue in runs.values_list(*columns):
        sample = () if task is None else (task,)
        group = DueGroup(expression="", timezone="", key=label, sample=sample, queue=queue)
        yield ready_at, group


def _looked_up(using: str, groups: Iterable[DueGroup]) -> dict[int, timedelta]:
    """Return how long runs of tasks usually take, for groups in which that is unknown.

    The newest runs of all tasks do not contain those of a nightly task, if others run each second.
    """
    samples = dict.fromkeys(group.sample for group in groups if not group.takes and group.sample)
    tasks = {task for sample in islice(samples, MAX_GROUPS_LOOKED_UP) for task in sample}
    return usual_of_each(using, tasks) if tasks else {}


def _due(moment: datetime, groups: list[DueGroup], takes: Mapping[int, timedelta]) -> Due:
    largest = sorted(groups, key=lambda group: (-group.number, group.key))
    names = [Named.of(group) for group in largest]
    return Due(
        at=moment,
        tasks=names[:MAX_TASKS_NAMED],
        more=sum(1 + name.more for name in names[MAX_TASKS_NAMED:]),
        takes=max((_usual(group, takes) for group in groups), default=NO_TIME),
    )


def _usual(group: DueGroup, takes: Mapping[int, timedelta]) -> timedelta:
    """Return how long the runs of a group usually take; 0 if that is unknown."""
    looked_up = (takes.get(task, NO_TIME) for task in group.sample)
    return group.takes or max(looked_up, default=NO_TIME)
