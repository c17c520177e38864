"""The upcoming occurrences of a task, and whether its runs will overlap."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sisy.exceptions import ScheduleError
from sisy.models import Overlap, Run, Task, TaskState
from sisy.models.timing import Timing
from sisy.reports.window import Window
from sisy.schedules.calendar import just_before

MAX_BARS_DRAWN = 100  # occurrences of a task that are drawn one by one
NARROWEST = 0.25  # percent


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastBar:
    """An occurrence that is still to come, as wide as its run usually takes."""

    due: datetime
    x: float
    width: float
    overlaps: bool
    """Whether the run before it will probably still go on, and the policy forbids that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coming:
    """The upcoming occurrences of one task within a window."""

    bars: list[ForecastBar]
    crowded: tuple[float, float] | None
    """The stretch in which it is due too often to be drawn one by one."""

    @property
    def overlaps(self) -> bool:
        return any(bar.overlaps for bar in self.bars)


def joined(several: Sequence[Coming]) -> Coming:
    """Return what comes of several tasks together."""
    bars = sorted((bar for one in several for bar in one.bars), key=lambda one: one.x)
    crowded = [one.crowded for one in several if one.crowded]
    if len(bars) > MAX_BARS_DRAWN:
        crowded.append((bars[MAX_BARS_DRAWN].x, 100.0))
    return Coming(bars=bars[:MAX_BARS_DRAWN], crowded=min(crowded, default=None))


def left_of(task: Task) -> int | None:
    """Return how many iterations of a task are left; None if they are not limited."""
    return None if task.iterations is None else max(0, task.iterations - task.runs_planned)


def occurrences(task: Task, after: datetime) -> Iterator[datetime]:
    """Yield when ``task`` is due after a moment, by the function that plans it.

    One that is paused, broken, retired or has no schedule is not due. Of a limited number of
    iterations, only those are yielded that are left then: what is due before uses up some.
    """
    if task.state != TaskState.ACTIVE or not task.schedule:
        return
    try:
        timing = Timing.of(task)
    except ScheduleError:
        return
    left = left_of(task)
    due = task.next_run or timing.next_after(after)
    if due is not None and due <= after:
        if left is not None:
            left = max(0, left - timing.schedule.count_between(just_before(due), after))
        due = timing.next_after(after)
    while due is not None and left != 0:
        yield due
        left = None if left is None else left - 1
        due = timing.next_after(due)


def coming(
    task: Task,
    window: Window,
    now: datetime,
    usual: timedelta | None,
    going: Sequence[Run] = (),
) -> Coming:
    """Return what comes of ``task`` within ``window``, after ``now``.

    Args:
        usual: how long its runs take; None if none has ended yet.
        going: its runs that go on.
    """
    takes = usual or timedelta(0)
    may_overlap = task.overlap == Overlap.ALLOW
    until = max((run.started_at + takes for run in going if run.started_at), default=None)
    bars: list[ForecastBar] = []
    for due in occurrences(task, max(now, window.start)):
        if due > window.end:
            break
        if len(bars) == MAX_BARS_DRAWN:
            return Coming(bars=bars, crowded=(bars[-1].x, 100.0))
        x = window.place(due)
        overlaps = until is not None and due < until and not may_overlap
        width = max(NARROWEST, window.place(due + takes) - x)
        bars.append(ForecastBar(due=due, x=x, width=width, overlaps=overlaps))
        until = due + takes
    return Coming(bars=bars, crowded=None)
