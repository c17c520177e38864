"""Bars: runs by their place in time, and columns of runs that are too close to each other.

A bar has a least width, so the bars of runs that are closer would cover each other: a task that
fails every third time would look as if it always failed. Such runs share columns. A column is a
short stretch of time, and in its bar, each colour has the share that its runs have.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from django.utils.translation import ngettext

from sisy.models import Run, RunState
from sisy.records.choices import FAILED_STATES
from sisy.reports import disclosure, formatting
from sisy.reports.gravity import gravest, rank_of
from sisy.reports.timeline.window import Window

NARROWEST = 0.25  # percent of the width; nothing is drawn narrower
COLUMN = 0.5  # percent
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
    """One run, or several that are too close to each other to be drawn one by one."""

    gravest: Run
    x: float
    width: float
    begin: datetime
    """When its first run began."""
    end: datetime
    """When its last run ended; of a column, when it began."""
    in_full: bool
    """True if the text of its error is shown."""
    states: Counter[str]
    """The number of its runs in each state."""
    is_all: bool = True
    """False if more runs have succeeded than were counted."""

    @property
    def count(self) -> int:
        return self.states.total()

    @property
    def failed(self) -> int:
        """The number of its runs that failed, timed out or were lost."""
        return sum(self.states[state] for state in FAILED_STATES)

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
        return f"{', '.join(self._counted())} · {words}"

    def _counted(self) -> list[str]:
        if self.is_all:
            return formatting.counted_states(self.states)
        succeeded = RunState.SUCCEEDED
        others = Counter({state: n for state, n in self.states.items() if state != succeeded})
        return [
            f"{self.states[succeeded]}+ {formatting.name_of_state(succeeded)}",
            *formatting.counted_states(others),
        ]

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
class Columns:
    """The division of time into columns, which do not move while a window does."""

    span: timedelta

    @classmethod
    def of(cls, window: Window, columns: int = 1) -> "Columns":
        """Return columns of the usual width, or of the width of several."""
        return cls(span=window.span * COLUMN / 100 * columns)

    def number(self, moment: datetime) -> int:
        return int(moment.timestamp() // self.span.total_seconds())

    def start(self, number: int) -> datetime:
        return datetime.fromtimestamp(number * self.span.total_seconds(), UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Successes:
    """Successful runs of a column that were counted, and not read one by one."""

    number: int
    first: datetime
    last: datetime
    is_all: bool = True


def begin_of(run: Run) -> datetime:
    """Return the moment at which the bar of a run begins."""
    begin: datetime = run.started_at or run.due_at or run.ready_at
    return begin


def singles_of(runs: Iterable[Run], window: Window, now: datetime, in_full: bool) -> list[Bar]:
    """Return a bar for each run in the window, from left to right."""
    singles: list[Bar] = []
    for run in sorted(runs, key=begin_of):
        begin, end = begin_of(run), _end(run, now)
        if end < window.start or begin > window.end:
            continue
        x = window.place(begin)
        width = max(NARROWEST, window.place(end) - x)
        states = Counter({run.state: 1})
        singles.append(
            Bar(
                gravest=run,
                x=x,
                width=width,
                begin=begin,
                end=end,
                in_full=in_full,
                states=states,
            )
        )
    return singles


def in_shared_columns(singles: Sequence[Bar], columns: Columns) -> dict[int, list[Bar]]:
    """Return the bars of least width that share columns, by the numbers of these.

    Runs share a column if any two of them would touch, there or at its edge.
    """
    narrow = [bar for bar in singles if is_narrow(bar)]
    shared: dict[int, list[Bar]] = {}
    for bar, other in pairwise(narrow):
        if other.x < bar.x + NARROWEST:
            shared |= {columns.number(bar.begin): [], columns.number(other.begin): []}
    for bar in narrow:
        if (number := columns.number(bar.begin)) in shared:
            shared[number].append(bar)
    return shared


def joined_bars(
    singles: Sequence[Bar],
    columns: Columns,
    successes: Mapping[int, Sequence[Successes]],
    window: Window,
) -> list[Bar]:
    """Return bars that do not cover each other.

    Args:
        singles: a bar for each run that was read, from left to right.
        successes: the other runs that succeeded, by the numbers of columns.
    """
    shared = in_shared_columns(singles, columns)
    wide: list[Bar] = []
    narrow: list[Bar] = []
    for bar in singles:
        if not is_narrow(bar):
            _add(wide, bar)
        elif columns.number(bar.begin) not in shared:
            narrow.append(bar)
    in_columns: list[Bar] = []
    for number, some in sorted(shared.items()):
        behind = window.place(columns.start(number + 1))
        _add(in_columns, _column(some, successes.get(number, ()), behind, window))
    # Narrow bars are drawn last: wide ones would hide them.
    return [*wide, *sorted([*narrow, *in_columns], key=lambda bar: bar.x)]


def is_narrow(bar: Bar) -> bool:
    """Return whether a bar would be narrower if there was no least width."""
    return bar.width <= NARROWEST


def _column(
    bars: Sequence[Bar], successes: Collection[Successes], behind: float, window: Window
) -> Bar:
    """Return the bar of a column.

    Args:
        behind: the place at which the next column begins.
    """
    column = replace(bars[0], states=Counter())
    for bar in bars:
        column.states += bar.states
    for each in successes:
        column.states[RunState.SUCCEEDED.value] += each.number
    column.gravest = gravest(bar.gravest for bar in bars)
    column.is_all = all(each.is_all for each in successes)
    column.begin = min([bars[0].begin, *(each.first for each in successes)])
    column.end = max([bars[-1].begin, *(each.last for each in successes)])
    column.x = window.place(column.begin)
    end = min(window.place(column.end) + NARROWEST, behind)
    column.width = round(max(NARROWEST, end - column.x), 3)
    return column


def _add(bars: list[Bar], bar: Bar) -> None:
    """Append a bar, or join it with the last one if they touch and have the same state."""
    last = bars[-1] if bars else None
    is_joined = last is not None and bar.x <= last.x + last.width and _are_alike(last, bar)
    if last is None or not is_joined:
        bars.append(bar)
        return
    last.states += bar.states
    last.width = max(last.width, bar.x + bar.width - last.x)
    last.end = max(last.end, bar.end)


def _are_alike(bar: Bar, other: Bar) -> bool:
    return len(bar.states) == 1 and bar.states.keys() == other.states.keys()


def _end(run: Run, now: datetime) -> datetime:
    if run.due_until is not None:
        gap_end: datetime = run.due_until
        return gap_end
    if run.state == RunState.RUNNING:
        return now
    end: datetime = run.finished_at if run.started_at and run.finished_at else begin_of(run)
    return end


def _words(run: Run, in_full: bool) -> str:
    begin = formatting.short(begin_of(run))
    reason = disclosure.reason_of(run, in_full=in_full)
    parts = [formatting.name_of_state(run.state), begin, formatting.span(run.duration), reason]
    if run.count > 1:
        words = ngettext("%d occurrence", "%d occurrences", run.count)
        parts.insert(1, words % run.count)
    return " · ".join(part for part in parts if part and part != formatting.NOTHING)
