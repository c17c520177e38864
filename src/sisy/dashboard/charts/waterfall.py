"""The attempts of a run below each other, on one time axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext, gettext_lazy

from sisy.reports import formatting
from sisy.reports.phases import AttemptPhases, Phase, PhaseKind

MAX_ATTEMPTS_DRAWN = 50  # the latest ones
MAX_TICKS = 5
THINNEST = 0.4  # percent of the width
LABEL_ENDS_AT = 88  # percent; a later tick has no room for its text

MILLISECOND = timedelta(milliseconds=1)
# Round durations of the axis: 1, 2 or 5 of a unit, and the usual parts of a minute or an hour.
SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200)
TICKS = [
    *(n * MILLISECOND for n in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(timedelta(seconds=n) for n in SECONDS),
    *(timedelta(days=n) for n in (1, 2, 5, 10, 30, 100, 365, 3650)),
]

KINDS = {
    PhaseKind.DELAYED: gettext_lazy("delayed"),
    PhaseKind.QUEUED: gettext_lazy("queued"),
    PhaseKind.WAITED: gettext_lazy("delayed and queued"),
    PhaseKind.RUNNING: gettext_lazy("running"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseBar:
    """A phase with its place in percent of the width."""

    x: float
    width: float
    looks: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptTrack:
    """The bars of an attempt."""

    attempt: AttemptPhases
    bars: list[PhaseBar]

    @property
    def words(self) -> str:
        """The text alternative of the bars."""
        return ", ".join(bar.words for bar in self.bars)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """The attempts of a run, and the durations on the axis since its beginning.

    Attributes:
        left_out: how many earlier attempts are not shown.
        kinds: the kinds of waits that are drawn, for the legend.
    """

    tracks: list[AttemptTrack]
    ticks: list[tuple[float, str]]
    left_out: int
    kinds: list[tuple[str, object]]


def waterfall(attempts: Sequence[AttemptPhases]) -> Waterfall | None:
    """Return the chart of the attempts of a run; None if none of them took time."""
    drawn = attempts[-MAX_ATTEMPTS_DRAWN:]
    phases = [phase for one in drawn for phase in one.phases]
    if not phases:
        return None
    start, end = min(one.start for one in phases), max(one.end for one in phases)
    if end - start < MILLISECOND:
        return None
    tracks = [
        AttemptTrack(
            attempt=one, bars=[_bar(phase, one.state, start, end) for phase in one.phases]
        )
        for one in drawn
    ]
    waits = [kind for kind in KINDS if kind != PhaseKind.RUNNING]
    return Waterfall(
        tracks=tracks,
        ticks=_ticks(end - start),
        left_out=len(attempts) - len(drawn),
        kinds=[(str(kind), KINDS[kind]) for kind in waits if any(p.kind == kind for p in phases)],
    )


def _bar(phase: Phase, state: str, start: datetime, end: datetime) -> PhaseBar:
    whole = end - start
    width = max(THINNEST, 100 * (phase.span / whole))
    is_running = phase.kind == PhaseKind.RUNNING
    looks = f"bar {formatting.looks_of(state)}" if is_running else phase.kind
    named = {
        "kind": KINDS[phase.kind],
        "span": formatting.span(phase.span),
        "start": formatting.short(phase.start),
        "end": formatting.short(phase.end),
    }
    return PhaseBar(
        x=min(100 - width, 100 * ((phase.start - start) / whole)),
        width=width,
        looks=str(looks),
        words=gettext("%(kind)s for %(span)s, from %(start)s to %(end)s") % named,
    )


def _ticks(span: timedelta) -> list[tuple[float, str]]:
    step = next((step for step in TICKS if span / step <= MAX_TICKS), span)
    places = [(100 * (n * step / span), n * step) for n in range(int(span / step) + 1)]
    return [(place, formatting.span(at) if place <= LABEL_ENDS_AT else "") for place, at in places]
