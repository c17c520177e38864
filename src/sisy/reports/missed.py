"""The tasks that missed occurrences in a time range, and what a backfill of each would run."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from django.db.models import Q

from sisy.models import Run, RunState, Task
from sisy.reports.by_state import entries, keys_of
from sisy.reports.durations import usual_of_each

MAX_GAPS_READ = 1000  # newest rows of missed occurrences
MAX_TASKS_LISTED = 100
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedTask:
    """A task that missed occurrences.

    Attributes:
        start, end: the range of what it missed; the end is exclusive.
        moments: when the occurrences were due that a backfill of this range would run.
        each: how long a run usually takes; None if that is unknown.
        refusal: why it cannot be backfilled; empty if it can.
    """

    task: Task
    start: datetime
    end: datetime
    moments: list[datetime] = field(default_factory=list)
    each: timedelta | None = None
    refusal: str = ""

    @property
    def work(self) -> timedelta | None:
        """The duration of all runs together; None if that is unknown."""
        return None if self.each is None else len(self.moments) * self.each

    def is_due_soon(self, now: datetime) -> bool:
        """Return whether it is due again within an hour, so that it has hardly lost anything."""
        next_run: datetime | None = self.task.next_run
        return next_run is not None and next_run - now < HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedTasks:
    """The tasks that missed occurrences, those first that are due again last.

    Attributes:
        more: how many others there are.
    """

    tasks: list[MissedTask]
    more: int


def newest_range(using: str) -> tuple[datetime, datetime] | None:
    """Return when the first and the last occurrence of the newest outage were due.

    It has what was recorded as missed within an hour before the newest row; None if there is none.
    """
    newest = entries(using, RunState.MISSED).exclude(task_id=None).order_by("-run_id").first()
    if newest is None:
        return None
    gaps = _gaps(using, MAX_GAPS_READ, Q(finished_at__gte=newest.finished_at - HOUR))
    moments = [_moments_of(gap) for gap in gaps]
    if not moments:
        return None
    return min(first for first, _ in moments), max(last for _, last in moments)


def outage_around(using: str, start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """Return when the first and the last occurrence of an outage were due.

    Args:
        start, end: the first and last occurrence of some tasks. Other tasks may have missed more.
    """
    gaps = _gaps(using, MAX_GAPS_READ, Q(due_at__lte=end) & _until_at_least(start))
    moments = [(start, end), *(_moments_of(gap) for gap in gaps)]
    return min(first for first, _ in moments), max(last for _, last in moments)


def missed_tasks(
    using: str, start: datetime, end: datetime, *, only: Collection[int] | None = None
) -> MissedTasks:
    """Return the tasks that missed occurrences of a range, except those that run once.

    It reads the newest `MAX_GAPS_READ` rows of missed occurrences.

    Args:
        only: the keys of the tasks that may be returned; by default, all.
    """
    ranges: dict[int, tuple[datetime, datetime]] = {}
    for gap in _gaps(using, MAX_GAPS_READ, Q(due_at__lt=end) & _until_at_least(start)):
        assert gap.task_id is not None, "_gaps() leaves out runs without a task"
        first, last = _moments_of(gap)
        known = ranges.get(gap.task_id, (first, last))
        ranges[gap.task_id] = min(first, known[0]), max(last, known[1])
    stored = Task.objects.using(using).exclude(schedule="").filter(pk__in=ranges)
    if only is not None:
        stored = stored.filter(pk__in=only)
    tasks = _by_loss(stored)
    listed = tasks[:MAX_TASKS_LISTED]
    took = usual_of_each(using, [task.pk for task in listed])
    found = []
    for task in listed:
        first, last = ranges[task.pk]
        one = MissedTask(
            task=task,
            start=max(start, first),
            end=min(end, last + SECOND),
            each=took.get(task.pk),
        )
        found.append(_counted(one))
    return MissedTasks(tasks=found, more=len(tasks) - len(listed))


def _counted(one: MissedTask) -> MissedTask:
    """Return the same with the occurrences that a backfill would run."""
    try:
        return replace(one, moments=one.task.to_backfill(one.start, one.end))
    except ValueError as error:
        return replace(one, refusal=str(error))


def _until_at_least(moment: datetime) -> Q:
    return Q(due_until__gte=moment) | Q(due_until=None, due_at__gte=moment)


def _gaps(using: str, most: int, condition: Q | None = None) -> Iterable[Run]:
    """Return rows of missed occurrences, the newest first."""
    keys = keys_of(entries(using, RunState.MISSED).exclude(task_id=None), most)
    runs = Run.objects.using(using).filter(pk__in=keys, due_at__isnull=False).order_by("-pk")
    return runs.only("task_id", "due_at", "due_until").filter(condition or Q())


def _moments_of(gap: Run) -> tuple[datetime, datetime]:
    """Return when the first and the last occurrence of a row were due."""
    assert gap.due_at is not None, "only runs of schedules are missed"
    return gap.due_at, gap.due_until or gap.due_at


def _by_loss(tasks: Iterable[Task]) -> list[Task]:
    """Return tasks with those first that are not due again, or last."""
    never = datetime.max.replace(tzinfo=UTC)
    return sorted(tasks, key=lambda task: (task.next_run or never, task.pk), reverse=True)
