"""The upcoming occurrences of tasks as bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sisy.models import Run, Task
from sisy.planning.timing import occurrences
from sisy.reports.forecast import TaskForecast
from sisy.reports.timeline.window import Window

MAX_BARS_DRAWN = 100  # occurrences of a task that are drawn one by one
NARROWEST = 0.25  # percent


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastBar:
    """An upcoming occurrence; its width is the usual duration."""

    due: datetime
    x: float
    width: float
    overlaps: bool
    """True if the previous run will probably still be running, and the policy forbids overlap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming:
    """The upcoming occurrences within a window, of one task or of several."""

    bars: list[ForecastBar]
    crowded: tuple[float, float] | None
    """The stretch in which they are due too often to be drawn one by one.

    It begins with the first of them. Bars of the first ones alone would look like a burst.
    """

    @property
    def overlaps(self) -> bool:
        return any(bar.overlaps for bar in self.bars)


def upcoming(
    task: Task,
    window: Window,
    now: datetime,
    usual: timedelta | None,
    running: Sequence[Run] = (),
) -> Upcoming:
    """Return the occurrences of ``task`` within ``window``, after ``now``.

    Args:
        usual: how long its runs take; None if none has ended yet.
        running: its runs that are running.
    """
    takes = usual or timedelta(0)
    started = (run.started_at + takes for run in running if run.started_at)
    overlap = TaskForecast(task=task, takes=usual, busy_until=max(started, default=None))
    bars: list[ForecastBar] = []
    for due in occurrences(task, max(now, window.start), window.end):
        if len(bars) == MAX_BARS_DRAWN:
            last = window.place(task.end_running or window.end)
            return Upcoming(bars=_overlapping(bars), crowded=(bars[0].x, last))
        x = window.place(due)
        width = max(NARROWEST, window.place(due + takes) - x)
        bars.append(ForecastBar(due=due, x=x, width=width, overlaps=overlap.note(due)))
    return Upcoming(bars=bars, crowded=None)


def joined(several: Sequence[Upcoming]) -> Upcoming:
    """Return the upcoming occurrences of several tasks together; the same moment has one bar."""
    # The last one of a moment stays: one that overlaps, or the widest.
    found = [bar for one in several for bar in one.bars]
    found.sort(key=lambda bar: (bar.overlaps, bar.width))
    bars = sorted({bar.due: bar for bar in found}.values(), key=lambda bar: bar.x)
    crowded = [one.crowded for one in several if one.crowded]
    if len(bars) > MAX_BARS_DRAWN:
        crowded.append((bars[0].x, 100.0))
        bars = _overlapping(bars)
    return Upcoming(bars=bars[:MAX_BARS_DRAWN], crowded=min(crowded, default=None))


def _overlapping(bars: Sequence[ForecastBar]) -> list[ForecastBar]:
    """Return the bars that stay where occurrences are too many to be drawn one by one."""
    return [bar for bar in bars if bar.overlaps]
