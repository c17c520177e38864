"""The stretches of time with queued runs that are too numerous to draw one by one."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import ngettext

from sisy.reports.timeline.bars import NARROWEST
from sisy.reports.timeline.window import Window
from sisy.store.timeline import queued_before

MAX_READ = 10_000  # entries of all tasks together
MAX_OF_EACH = 1000  # of each task
GAPS = 48  # of a window; queued runs that are further apart are in different stretches


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedStretch:
    """A stretch in which runs of a task are queued that are not drawn one by one.

    Attributes:
        x: where it begins, in percent of the window's width.
        width: its width in the same unit.
        task: the key of the task.
        number: how many runs these are.
        is_all: False if there are more than were counted.
    """

    x: float
    width: float
    task: int
    number: int
    is_all: bool

    @property
    def words(self) -> str:
        words = ngettext("%s queued run", "%s queued runs", self.number)
        return words % f"{self.number:,}{'' if self.is_all else '+'}"


def queued_stretches(
    using: str, before: Mapping[int, int], window: Window
) -> dict[int, list[QueuedStretch]]:
    """Return where runs of some tasks are queued, by the key of the task.

    Args:
        before: the keys of the tasks, each with the key of its oldest run that is drawn one by
            one.
    """
    if not before:
        return {}
    count = min(MAX_OF_EACH, MAX_READ // len(before))
    read, oldest = queued_before(using, before, count)
    moments: dict[int, list[datetime]] = defaultdict(list)
    for task, ready_at in read:
        moments[task].append(ready_at)
    return {
        task: _stretches(task, some, oldest[task] if oldest[task] < min(some) else None, window)
        for task, some in moments.items()
    }


def _stretches(
    task: int, moments: list[datetime], oldest: datetime | None, window: Window
) -> list[QueuedStretch]:
    """Return the stretches of a task.

    Args:
        oldest: when the oldest run was ready, if more are queued than were read. The first
            stretch begins with it.
    """
    groups: list[list[datetime]] = []
    for moment in sorted(moment for moment in moments if window.holds(moment)):
        if groups and moment - groups[-1][-1] <= window.span / GAPS:
            groups[-1].append(moment)
        else:
            groups.append([moment])
    found = []
    for number, group in enumerate(groups):
        is_all = oldest is None or number > 0
        start = group[0] if is_all or oldest is None else min(oldest, group[0])
        x = window.place(start)
        width = round(max(NARROWEST, window.place(group[-1]) - x), 3)
        found.append(QueuedStretch(x=x, width=width, task=task, number=len(group), is_all=is_all))
    return found
