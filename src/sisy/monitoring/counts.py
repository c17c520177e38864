"""Counters and histograms: in memory, as JSON, and their sums."""

import json
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Self

LATENESS_BOUNDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)
DURATION_BOUNDS = (
    0.01,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    15.0,
    60.0,
    300.0,
    900.0,
    3600.0,
    21600.0,
)
"""The upper bounds of the buckets in seconds. Each bucket makes a scrape slower. If you
change them, change `LAYOUT`, too."""

LAYOUT = 1
"""The version of `Counts.as_json`. Totals of another version are neither changed nor read."""

OTHER = "(other)"
"""The label value for all values beyond the limit."""

RUNS, RETRIES, LATENESS, DURATION = "runs", "retries", "lateness", "duration"
RINGS = "rings"
TASK_RUNS, TASK_LATENESS, TASK_DURATION = "task_runs", "task_lateness", "task_duration"

BOUNDS = {
    LATENESS: LATENESS_BOUNDS,
    DURATION: DURATION_BOUNDS,
    TASK_LATENESS: LATENESS_BOUNDS,
    TASK_DURATION: DURATION_BOUNDS,
}

BY_TASK = frozenset({TASK_RUNS, TASK_LATENESS, TASK_DURATION})
"""The metrics of single tasks."""

MAX_TASKS = 100  # with metrics of their own
MAX_SERIES = {RUNS: 500, RETRIES: 500, LATENESS: 200, DURATION: 200, RINGS: 200} | {
    TASK_RUNS: 5 * MAX_TASKS,
    TASK_LATENESS: MAX_TASKS,
    TASK_DURATION: MAX_TASKS,
}
"""The limit of combinations of labels for each metric. Later ones are counted as `OTHER`."""

Labels = tuple[str, ...]


@dataclass(slots=True)
class Counts:
    """Counters and histograms. Not thread-safe.

    Attributes:
        counters: the numbers, by the name of the metric and its labels.
        histograms: the number of observations in each bucket, the last of which has no upper
            bound, and their sum.
    """

    counters: dict[str, dict[Labels, int]] = field(default_factory=dict)
    histograms: dict[str, dict[Labels, list[float]]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.counters or self.histograms)

    def add(self, name: str, labels: Labels, number: int = 1) -> None:
        """Add to a counter."""
        series = self.counters.setdefault(name, {})
        labels = _with_room(name, series, labels)
        series[labels] = series.get(labels, 0) + number

    def observe(self, name: str, labels: Labels, value: float) -> None:
        """Add an observation to a histogram."""
        buckets = self._buckets(name, labels)
        # A moment may lie a little before the one that it follows, by another clock.
        value = max(0.0, value)
        buckets[bisect_left(BOUNDS[name], value)] += 1
        buckets[-1] += value

    def merge(self, other: Self) -> None:
        """Add all of ``other``."""
        for name, counters in other.counters.items():
            for labels, number in counters.items():
                self.add(name, labels, number)
        for name, histograms in other.histograms.items():
            for labels, buckets in histograms.items():
                own = self._buckets(name, labels)
                own[:] = map(sum, zip(own, buckets, strict=True))

    def _buckets(self, name: str, labels: Labels) -> list[float]:
        series = self.histograms.setdefault(name, {})
        labels = _with_room(name, series, labels)
        # One more bucket than bounds, and the sum.
        return series.setdefault(labels, [0] * (len(BOUNDS[name]) + 1) + [0.0])

    def as_json(self) -> dict[str, Any]:
        """Return them as values that JSON can represent."""
        return {"counters": _flat(self.counters), "histograms": _flat(self.histograms)}

    @classmethod
    def of_json(cls, totals: Mapping[str, Any], leaves_out: Collection[str] = ()) -> Self:
        """Return the counts that `as_json` has written.

        Args:
            leaves_out: the names of metrics that are not needed.
        """
        both = (totals.get(kind, {}) for kind in ("counters", "histograms"))
        return cls(*(dict(_nested(metrics, leaves_out)) for metrics in both))

    @classmethod
    def sum_of(cls, totals: Iterable[Mapping[str, Any]], leaves_out: Collection[str] = ()) -> Self:
        """Return the sum of counts that `as_json` has written; see `of_json`."""
        first, *others = [cls.of_json(each, leaves_out) for each in totals] or [cls()]
        for other in others:
            first.merge(other)
        return first


def _with_room(name: str, series: Mapping[Labels, Any], labels: Labels) -> Labels:
    """Return ``labels``, or `OTHER` in their place if there are too many already."""
    if labels in series or len(series) < MAX_SERIES[name]:
        return labels
    # The outcome stays, because there are few.
    keeps = 1 if name in (RUNS, TASK_RUNS) else None
    return tuple(label if place == keeps else OTHER for place, label in enumerate(labels))


def _flat(metrics: Mapping[str, Mapping[Labels, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {json.dumps(labels, ensure_ascii=False): value for labels, value in series.items()}
        for name, series in metrics.items()
    }


def _nested(
    metrics: Mapping[str, Mapping[str, Any]], leaves_out: Collection[str]
) -> Iterator[tuple[str, Any]]:
    for name, series in metrics.items():
        if name not in leaves_out:
            yield name, {_labels(text): value for text, value in series.items()}


# Each scrape and each addition to the totals reads the same labels.
@lru_cache(maxsize=10_000)
def _labels(text: str) -> Labels:
    return tuple(json.loads(text))
