"""The last hour of each queue: runs that ended, runs that were queued, and the oldest of them.

No table stores how many runs were queued at a moment. It follows from the runs themselves: a run
was queued from the moment it was ready until it started. Runs that are still queued have entries
in a small table, so they are counted exactly. The others are those of the ledger that were planned
in the last two hours. Their keys are a range, and evenly spaced ones are read, so that a busy
site costs no more than a quiet one. A run that was planned earlier and has started since is not
counted.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sisy.models import Run, RunState
from sisy.store.reports import key_at

HOUR = timedelta(hours=1)
LOOKBACK = 2 * HOUR
SLICES = 30
WIDTH = HOUR / SLICES
MAX_RUNS_SAMPLED = 1000
NO_TIME = timedelta(0)


@dataclass(slots=True, kw_only=True)
class QueueHistory:
    """The history of a queue, in slices of two minutes, the oldest first.

    Attributes:
        ended: how many executed runs ended in each slice.
        queued: how many runs were queued at the end of each slice.
        oldest: how long the oldest of them had been ready by then.
    """

    ended: list[int] = field(default_factory=lambda: [0] * SLICES)
    queued: list[int] = field(default_factory=lambda: [0] * SLICES)
    oldest: list[timedelta] = field(default_factory=lambda: [NO_TIME] * SLICES)

    def note(self, place: int, number: int, age: timedelta) -> None:
        """Count runs that were queued at the end of a slice."""
        self.queued[place] += number
        self.oldest[place] = max(self.oldest[place], age)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueHistories:
    """The histories of all queues.

    Attributes:
        of: the histories, by the name of the queue.
        start: when the first slice begins.
        sampled: of how many runs one was read; 1 if all were.
    """

    of: dict[str, QueueHistory]
    start: datetime
    sampled: int

    def slice_of(self, place: int) -> tuple[datetime, datetime]:
        """Return when a slice begins and ends."""
        return self.start + place * WIDTH, self.start + (place + 1) * WIDTH


def queue_histories(
    using: str, now: datetime, still_queued: Mapping[str, Sequence[datetime]]
) -> QueueHistories:
    """Return the last hour of each queue.

    Args:
        still_queued: since when the runs have been ready that are queued now, by queue, the
            longest first.
    """
    start = now - HOUR
    found = {name: QueueHistory() for name in still_queued}
    for name, ready in still_queued.items():
        for place, moment in _ends(start):
            if number := bisect_right(ready, moment):
                found[name].note(place, number, moment - ready[0])
    low, high = key_at(using, now - LOOKBACK), _last_key(using) + 1
    step = max(1, -(-(high - low) // MAX_RUNS_SAMPLED))
    runs = Run.objects.using(using).filter(pk__in=range(low, high, step), engine="")
    columns = ("queue", "ready_at", "started_at", "finished_at")
    started = runs.exclude(state=RunState.QUEUED).order_by()
    for name, ready_at, started_at, finished_at in started.values_list(*columns):
        history = found.setdefault(name, QueueHistory())
        over = started_at or finished_at
        for place in _places(start, ready_at, over or now):
            history.note(place, step, start + (place + 1) * WIDTH - ready_at)
        if started_at is not None and finished_at is not None and start < finished_at <= now:
            history.ended[min(SLICES - 1, int((finished_at - start) / WIDTH))] += step
    return QueueHistories(of=found, start=start, sampled=step)


def _last_key(using: str) -> int:
    return Run.objects.using(using).order_by("-pk").values_list("pk", flat=True).first() or 0


def _ends(start: datetime) -> Iterator[tuple[int, datetime]]:
    return ((place, start + (place + 1) * WIDTH) for place in range(SLICES))


def _places(start: datetime, first: datetime, last: datetime) -> range:
    """Return the slices whose ends lie in ``first`` ≤ end < ``last``."""
    return range(_ends_before(start, first), _ends_before(start, last))


def _ends_before(start: datetime, moment: datetime) -> int:
    """Return how many slices end before a moment."""
    return min(SLICES, max(0, -((start - moment) // WIDTH) - 1))
