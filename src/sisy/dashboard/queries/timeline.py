"""What ran and what comes, task by task, on one stretch of time."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils.translation import gettext

from sisy import display
from sisy.dashboard.queries.coming import Coming, coming
from sisy.dashboard.queries.latest import newest_runs
from sisy.dashboard.queries.window import Window
from sisy.models import Run, RunState, Task
from sisy.models.choices import TROUBLE_STATES

DRAWN = 120  # runs of each task that are drawn one by one
TROUBLE = 1000  # runs that came to trouble, of all tasks together
NARROWEST = 0.25  # percent of the width; nothing is drawn narrower
GRAVITY = (
    RunState.FAILED,
    RunState.TIMED_OUT,
    RunState.LOST,
    RunState.MISSED,
    RunState.CANCELLED,
    RunState.SKIPPED,
    RunState.RUNNING,
    RunState.WAITING,
    RunState.SUCCEEDED,
)
"""Where bars fall onto each other, the gravest is seen."""


@dataclass(slots=True, kw_only=True)
class Bar:
    """One run, or several next to each other that came to the same."""

    state: str
    x: float
    width: float
    words: str
    run: int | None = None
    count: int = 1

    @property
    def looks(self) -> str:
        return display.LOOKS.get(self.state, "quiet")  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One task's row."""

    task: Task
    bars: list[Bar]
    coming: Coming
    usual: timedelta | None
    undrawn: tuple[float, float] | None = field(default=None)
    """The stretch of which only what came to trouble is drawn, since its runs are too many."""


def timeline(using: str, tasks: Sequence[Task], window: Window, now: datetime) -> list[Track]:
    """Return a track for each of ``tasks``, in their order."""
    pks = [task.pk for task in tasks]
    runs: dict[int | None, list[Run]] = {pk: [] for pk in pks}
    recent = newest_runs(using, pks, DRAWN) if window.start < now else Run.objects.none()
    for run in recent.defer("payload", "result", "error"):
        runs[run.task_id].append(run)
    crowded = [pk for pk in pks if len(runs[pk]) == DRAWN and _begin(runs[pk][-1]) > window.start]
    for run in _in_trouble(using, crowded, window):
        if run.pk < runs[run.task_id][DRAWN - 1].pk:
            runs[run.task_id].append(run)
    return [_track(task, runs[task.pk], window, now, task.pk in crowded) for task in tasks]


def _in_trouble(using: str, tasks: Sequence[int], window: Window) -> Iterable[Run]:
    if not tasks:
        return []
    runs = Run.objects.using(using).filter(task__in=tasks, state__in=TROUBLE_STATES)
    runs = runs.filter(planned_at__gte=window.start).order_by("-pk")
    return runs.defer("payload", "result", "error")[:TROUBLE]


def _track(task: Task, runs: list[Run], window: Window, now: datetime, is_crowded: bool) -> Track:
    usual = usual_duration(runs)
    undrawn = None
    if is_crowded:
        undrawn = (0.0, window.place(min(now, _begin(runs[DRAWN - 1]))))
    return Track(
        task=task,
        bars=_bars(runs, window, now),
        coming=coming(task, window, now, usual, [run for run in runs if run.state == "running"]),
        usual=usual,
        undrawn=undrawn,
    )


def usual_duration(runs: Iterable[Run]) -> timedelta | None:
    """Return the median of how long runs took that succeeded; None if there is none."""
    well = (run.duration for run in runs if run.state == RunState.SUCCEEDED)
    took = [duration.total_seconds() for duration in well if duration is not None]
    return timedelta(seconds=statistics.median(took)) if took else None


def _begin(run: Run) -> datetime:
    begin: datetime = run.started_at or run.due_at or run.ready_at
    return begin


def _end(run: Run, now: datetime) -> datetime:
    if run.due_until is not None:
        gap_end: datetime = run.due_until
        return gap_end
    if run.state == RunState.RUNNING:
        return now
    end: datetime = run.finished_at if run.started_at and run.finished_at else _begin(run)
    return end


def _bars(runs: Iterable[Run], window: Window, now: datetime) -> list[Bar]:
    """Return the runs of a task as bars, from left to right; what would touch becomes one."""
    bars: list[Bar] = []
    for run in sorted(runs, key=_begin):
        begin, end = _begin(run), _end(run, now)
        if end < window.start or begin > window.end:
            continue
        x = window.place(begin)
        width = max(NARROWEST, window.place(end) - x)
        bar = Bar(state=run.state, x=x, width=width, words=_words(run), run=run.pk)
        if bars and _touch(bars[-1], bar):
            _join(bars[-1], bar)
        else:
            bars.append(bar)
    return bars


def _touch(bar: Bar, other: Bar) -> bool:
    """Whether two would be one to the eye: next to each other, and alike or too narrow."""
    if other.x <= bar.x + bar.width and bar.state == other.state:
        return True
    return other.x < bar.x + NARROWEST and bar.width <= 2 * NARROWEST


def _join(bar: Bar, other: Bar) -> None:
    bar.count += other.count
    bar.width = max(bar.width, other.x + other.width - bar.x)
    graver = min(bar, other, key=lambda one: GRAVITY.index(RunState(one.state)))
    bar.state, bar.run, bar.words = graver.state, graver.run, graver.words


def _words(run: Run) -> str:
    begin = display.short(_begin(run))
    parts = [str(run.get_state_display()), begin, display.span(run.duration), run.reason]
    if run.count > 1:
        parts.insert(1, gettext("%d occurrences") % run.count)
    return " · ".join(part for part in parts if part and part != display.NOTHING)
