"""The past and upcoming runs of tasks within a window, as tracks of bars."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.utils.translation import ngettext

from sisy.models import Run, RunState, Task
from sisy.records.choices import TROUBLE_STATES
from sisy.reports import disclosure, formatting
from sisy.reports.by_state import keys_of, troubled
from sisy.reports.durations import usual
from sisy.reports.gravity import gravest, rank_of
from sisy.reports.ledger import DRAWN, newest_of_each
from sisy.reports.task_rows import TaskRow
from sisy.reports.timeline.stretches import Stretch, succeeded_stretches
from sisy.reports.timeline.upcoming import Upcoming, joined, upcoming
from sisy.reports.timeline.window import Window
from sisy.store.reports import KEY_SLACK, key_at

MAX_BARS = 800  # runs of all tasks together that are drawn one by one
MAX_OF_EACH, MIN_OF_EACH = 120, 15  # of each task
MAX_TROUBLE_RUNS = 1000  # runs that did not succeed, of all tasks together
NARROWEST = 0.25  # percent of the width; nothing is drawn narrower
BAR_TOP, BAR_HEIGHT = 4, 16  # pixels
THINNEST = 3  # pixels of a colour in a bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A part of a bar with one colour; its place and height are pixels."""

    looks: str
    y: int
    height: int


@dataclass(slots=True, kw_only=True)
class Bar:
    """One run, or several adjacent runs with the same outcome."""

    gravest: Run
    x: float
    width: float
    in_full: bool
    """True if the text of its error is shown."""
    states: Counter[str]
    """The number of its runs in each state."""

    @property
    def count(self) -> int:
        return self.states.total()

    @property
    def run(self) -> int:
        return self.gravest.pk

    @property
    def state(self) -> str:
        return self.gravest.state

    @property
    def words(self) -> str:
        words = _words(self.gravest, self.in_full)
        if len(self.states) == 1:
            counted = ngettext("%d run", "%d runs", self.count) % self.count
            return f"{counted} · {words}" if self.count > 1 else words
        counted = ", ".join(formatting.counted_states(self.states))
        return f"{counted} · {words}"

    @property
    def slices(self) -> list[Slice]:
        """The bar from top to bottom: each colour has the share that its runs have.

        Else one failed run among many would paint all of them red.
        """
        colours: Counter[str] = Counter()
        for state in sorted(self.states, key=rank_of):
            colours[formatting.looks_of(state)] += self.states[state]
        slices: list[Slice] = []
        y = BAR_TOP
        for looks, number in colours.items():
            height = max(THINNEST, round(BAR_HEIGHT * number / self.count))
            slices.append(Slice(looks=looks, y=y, height=height))
            y += height
        # The last one, of the runs that succeeded if there are some, gives way to the others.
        last = slices[-1]
        slices[-1] = replace(last, height=max(THINNEST, BAR_TOP + BAR_HEIGHT - last.y))
        return slices


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """The runs of a row of tasks."""

    row: TaskRow
    bars: list[Bar]
    upcoming: Upcoming
    usual: timedelta | None
    """The usual duration of the task's runs; None for several tasks."""
    undrawn: tuple[Stretch, ...] = ()
    """The stretches with successful runs that are too numerous to draw one by one."""


def timeline(
    using: str,
    rows: Sequence[TaskRow],
    window: Window,
    now: datetime,
    *,
    newest: Mapping[int, list[Run]] | None = None,
    in_full: bool,
) -> list[Track]:
    """Return a track for each row of tasks, in their order.

    Args:
        newest: the newest runs of the tasks, at least `bars_of_each`, if they have been read. Only
            for a window that contains ``now``.
        in_full: whether the texts of errors are shown; see `sisy.reports.disclosure`.
    """
    drawn = bars_of_each(rows)
    runs = _runs(using, drawn, window, newest, now)
    until = {
        pk: min(now, _begin(runs[pk][number - 1]))
        for pk, number in drawn.items()
        if _is_crowded(runs[pk], window, number)
    }
    undrawn = succeeded_stretches(using, until, window)
    tracks = []
    for row in rows:
        of_tasks = [_track(row, task, runs[task.pk], window, now, in_full) for task in row.tasks]
        stretches = {one for task in row.tasks for one in undrawn.get(task.pk, ())}
        tracks.append(replace(_joined(row, of_tasks), undrawn=tuple(sorted(stretches))))
    return tracks


def bars_of_each(rows: Sequence[TaskRow]) -> dict[int, int]:
    """Return how many runs of each task are drawn one by one, by its key."""
    # Tasks that share rows take nothing away from those that have rows of their own.
    numbers = Counter(row.task is None for row in rows for _ in row.tasks)
    return {
        task.pk: max(MIN_OF_EACH, min(MAX_OF_EACH, MAX_BARS // numbers[row.task is None]))
        for row in rows
        for task in row.tasks
    }


def _runs(
    using: str,
    drawn: Mapping[int, int],
    window: Window,
    newest: Mapping[int, list[Run]] | None,
    now: datetime,
) -> dict[int, list[Run]]:
    """Return, by task, the newest runs of the window, and older ones that did not succeed."""
    before = None if window.end >= now else key_at(using, window.end)
    if newest is None:
        newest = newest_of_each(using, drawn, before)
    runs = {pk: newest[pk][:number] for pk, number in drawn.items()}
    crowded = [pk for pk, number in drawn.items() if _is_crowded(runs[pk], window, number)]
    for run in _in_trouble(using, crowded, window, before):
        if run.task_id is not None and run.pk < runs[run.task_id][drawn[run.task_id] - 1].pk:
            runs[run.task_id].append(run)
    return runs


def _is_crowded(runs: Sequence[Run], window: Window, drawn: int) -> bool:
    return len(runs) >= drawn and _begin(runs[drawn - 1]) > window.start


def _in_trouble(
    using: str, tasks: Sequence[int], window: Window, before: int | None
) -> Iterable[Run]:
    if not tasks:
        return []
    since = key_at(using, window.start - KEY_SLACK)
    ended = troubled(using, TROUBLE_STATES, tasks).filter(run_id__gte=since)
    keys = keys_of(ended, MAX_TROUBLE_RUNS, before)
    runs = Run.objects.using(using).filter(pk__in=keys, state__in=TROUBLE_STATES)
    runs = runs.filter(planned_at__gte=window.start).order_by("-pk")
    return runs.only("task", *DRAWN)


def _track(
    row: TaskRow, task: Task, runs: list[Run], window: Window, now: datetime, in_full: bool
) -> Track:
    running = [run for run in runs if run.state == RunState.RUNNING]
    takes = usual(runs)
    return Track(
        row=row,
        bars=_bars(runs, window, now, in_full),
        upcoming=upcoming(task, window, now, takes, running),
        usual=takes,
    )


def _joined(row: TaskRow, tracks: list[Track]) -> Track:
    """Return one track for a row; of bars that coincide, the most severe is drawn."""
    if len(tracks) == 1:
        return tracks[0]
    bars: list[Bar] = []
    for bar in sorted((bar for track in tracks for bar in track.bars), key=lambda bar: bar.x):
        if bars and _touch(bars[-1], bar):
            _join(bars[-1], bar)
        else:
            bars.append(bar)
    coming = joined([track.upcoming for track in tracks])
    return Track(row=row, bars=bars, upcoming=coming, usual=None)


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


def _bars(runs: Iterable[Run], window: Window, now: datetime, in_full: bool) -> list[Bar]:
    """Return the runs of a task as bars, from left to right; bars that would touch are joined."""
    bars: list[Bar] = []
    for run in sorted(runs, key=_begin):
        begin, end = _begin(run), _end(run, now)
        if end < window.start or begin > window.end:
            continue
        x = window.place(begin)
        width = max(NARROWEST, window.place(end) - x)
        bar = Bar(gravest=run, x=x, width=width, in_full=in_full, states=Counter({run.state: 1}))
        if bars and _touch(bars[-1], bar):
            _join(bars[-1], bar)
        else:
            bars.append(bar)
    return bars


def _touch(bar: Bar, other: Bar) -> bool:
    """Return whether two bars would look like one: adjacent, with the same state or too narrow."""
    if other.x <= bar.x + bar.width and bar.state == other.state:
        return True
    return other.x < bar.x + NARROWEST and bar.width <= 2 * NARROWEST


def _join(bar: Bar, other: Bar) -> None:
    bar.states += other.states
    bar.width = max(bar.width, other.x + other.width - bar.x)
    bar.gravest = gravest((bar.gravest, other.gravest))


def _words(run: Run, in_full: bool) -> str:
    begin = formatting.short(_begin(run))
    reason = disclosure.reason_of(run, in_full=in_full)
    parts = [formatting.name_of_state(run.state), begin, formatting.span(run.duration), reason]
    if run.count > 1:
        words = ngettext("%d occurrence", "%d occurrences", run.count)
        parts.insert(1, words % run.count)
    return " · ".join(part for part in parts if part and part != formatting.NOTHING)
