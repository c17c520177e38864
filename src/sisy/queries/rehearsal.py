"""What would run when: the occurrences of tasks in a range, with how long their runs usually take.

Nothing is planned or written. Days to come are rehearsed as the tasks are now.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from sisy.exceptions import ScheduleError
from sisy.models import Overlap, Run, RunState, Task
from sisy.models.timing import RESOLUTION, Timing

RECENT = 3000  # runs that tell how long they take
BUSIEST = 10  # minutes that are named

Occurrence = tuple[datetime, Task]


@dataclass(slots=True, kw_only=True)
class Crowding:
    """Occurrences of a task that would fall due while its run before them still goes on."""

    task: Task
    takes: timedelta
    count: int = 0
    first: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Rehearsal:
    """What was seen of a range so far.

    Attributes:
        count: how many occurrences there are.
        by_minute: how many of them fall into each minute in which there are any.
        crowded: the tasks whose runs would meet though they must not overlap.
    """

    takes: dict[int, timedelta]
    count: int = 0
    by_minute: Counter[datetime] = field(default_factory=Counter)
    crowded: dict[int, Crowding] = field(default_factory=dict)
    _busy_until: dict[int, datetime] = field(default_factory=dict)

    def note(self, due: datetime, task: Task) -> None:
        """Count one occurrence."""
        self.count += 1
        self.by_minute[due.replace(second=0, microsecond=0)] += 1
        takes = self.takes.get(task.pk)
        if takes is None or task.overlap == Overlap.ALLOW:
            return
        until = self._busy_until.get(task.pk)
        if until is not None and due < until:
            met = self.crowded.setdefault(task.pk, Crowding(task=task, takes=takes))
            met.count += 1
            met.first = met.first or due
            return  # it is skipped, or waits: what it would do to the next one is not known
        self._busy_until[task.pk] = due + takes

    def busiest(self) -> list[tuple[datetime, int]]:
        """Return the minutes in which most occurrences fall due, the fullest first."""
        return heapq.nsmallest(
            BUSIEST, self.by_minute.items(), key=lambda minute: (-minute[1], minute[0])
        )


def occurrences_of(tasks: Sequence[Task], start: datetime, end: datetime) -> Iterator[Occurrence]:
    """Yield when ``tasks`` are due from ``start`` to before ``end``, in the order of time."""
    alike: dict[Hashable, list[Task]] = defaultdict(list)
    for task in tasks:
        alike[_due_alike(task)].append(task)
    groups = list(alike.values())
    several = [_of_one(number, group[0], start, end) for number, group in enumerate(groups)]
    for due, number in heapq.merge(*several):
        for task in groups[number]:
            yield due, task


def _due_alike(task: Task) -> Hashable:
    """Return what tasks share that are due at the same moments, so that these are found once."""
    if task.iterations is not None or "h" in task.schedule.lower():  # h depends on the label
        return task.pk
    return task.schedule, task.timezone, task.start_running, task.end_running


def _of_one(
    number: int, task: Task, start: datetime, end: datetime
) -> Iterator[tuple[datetime, int]]:
    try:
        next_after = Timing.of(task).next_after
    except ScheduleError:
        return
    due = next_after(start - RESOLUTION)
    left = None if task.iterations is None else task.iterations - task.runs_planned
    while due is not None and due < end and (left is None or left > 0):
        yield due, number
        due = next_after(due)
        left = None if left is None else left - 1


def usual_durations(using: str) -> dict[int, timedelta]:
    """Return how long runs of tasks took lately, by the key of the task; the median."""
    recent = Run.objects.using(using).exclude(task=None).order_by("-pk")
    took: dict[int, list[float]] = defaultdict(list)
    rows = recent.values_list("task_id", "state", "started_at", "finished_at")[:RECENT]
    for task, state, started_at, finished_at in rows:
        if task is not None and state == RunState.SUCCEEDED and started_at and finished_at:
            took[task].append((finished_at - started_at).total_seconds())
    return {task: timedelta(seconds=median(seconds)) for task, seconds in took.items()}
