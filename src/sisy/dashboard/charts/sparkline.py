"""Sparklines: the duration and outcome of a task's latest runs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext

from sisy.models import Run, RunState
from sisy.reports import formatting

WIDTH, HEIGHT = 3, 24  # pixels: the width of a run with its gap, and the height of the chart
LOWEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Spark:
    """The bar of one run: its height is the duration; it hangs from the top after a failure."""

    x: int
    y: int
    height: int
    looks: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparkline:
    """The bars of runs from left to right, the newest on the right."""

    sparks: list[Spark]
    words: str
    """The text alternative of the chart."""

    @property
    def width(self) -> int:
        return WIDTH * len(self.sparks)

    height = HEIGHT


def sparkline(runs: Sequence[Run]) -> Sparkline:
    """Return the sparkline of runs, which are given newest first."""
    took = [run.duration.total_seconds() if run.duration else 0.0 for run in runs]
    longest = max(took, default=0.0) or 1.0
    sparks = []
    for place, (run, seconds) in enumerate(zip(reversed(runs), reversed(took), strict=True)):
        height = max(LOWEST, round(HEIGHT * seconds / longest))
        looks = formatting.LOOKS.get(RunState(run.state), "quiet")
        hangs = looks in ("bad", "warn")
        sparks.append(
            Spark(
                x=WIDTH * place,
                y=0 if hangs else HEIGHT - height,
                height=height,
                looks=looks,
                words=f"{run.get_state_display()} · {formatting.span(run.duration)}",
            )
        )
    return Sparkline(sparks=sparks, words=_in_words(runs))


def _in_words(runs: Sequence[Run]) -> str:
    counted = Counter(run.state for run in runs)
    known = dict(RunState.choices)
    parts = [f"{number} {known.get(state, state)}" for state, number in counted.most_common()]
    return ", ".join(parts) or gettext("no runs yet")
