"""The number of recent runs by state."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sisy.models import Run, RunState
from sisy.models.choices import TROUBLE_STATES
from sisy.models.run_queries import RunQuerySet

MAX_COUNTED = 10_000
"""So many runs are counted; of more it is said that they are more."""

MAX_TROUBLE_READ = 2000
"""So many rows are read of each state to which few runs come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The number of runs in a state; a minimum if not all were counted."""

    state: str
    number: int
    is_all: bool

    def __str__(self) -> str:
        return f"{self.number:,}" if self.is_all else f"{self.number:,}+"


def live_counts(using: str) -> list[Counted]:
    """Return how many runs are queued, and how many are running."""
    return [
        _capped(
            state, Run.objects.using(using).filter(state=state).order_by()[:MAX_COUNTED].count()
        )
        for state in (RunState.QUEUED, RunState.RUNNING)
    ]


def ended_counts(using: str, now: datetime, *spans: timedelta) -> list[list[Counted]]:
    """Return, for each of ``spans`` before ``now``, how many runs ended in which state.

    Occurrences that were missed or skipped are counted one by one, a gap by its length.
    """
    counted = []
    for state in (RunState.SUCCEEDED, *TROUBLE_STATES):
        runs = Run.objects.using(using).filter(state=state)
        counted.append(_ended(runs, state, [now - span for span in spans]))
    return [list(each) for each in zip(*counted, strict=True)]


def _ended(runs: RunQuerySet, state: str, since: Sequence[datetime]) -> list[Counted]:
    if state == RunState.SUCCEEDED:  # these are many, and each of them is one occurrence
        recent = [
            runs.filter(finished_at__gte=moment).order_by()[:MAX_COUNTED] for moment in since
        ]
        return [_capped(state, found.count()) for found in recent]
    newest = runs.exclude(finished_at=None).order_by("-pk")
    read = list(newest.values_list("finished_at", "count")[:MAX_TROUBLE_READ])
    return [_since(moment, read, state) for moment in since]


def _since(moment: datetime, read: Sequence[tuple[Any, int]], state: str) -> Counted:
    number = sum(count for ended, count in read if ended >= moment)
    is_all = len(read) < MAX_TROUBLE_READ or read[-1][0] < moment
    return Counted(state=state, number=number, is_all=is_all)


def _capped(state: str, number: int) -> Counted:
    return Counted(state=state, number=number, is_all=number < MAX_COUNTED)
