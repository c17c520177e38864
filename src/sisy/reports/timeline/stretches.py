"""The stretches of time with succeeded runs that are too many to draw one by one.

A window is cut into slices, and the database says for each of them whether a run of the task was
due in it and succeeded. The index of the moments at which a task was due leads there, so that the
cost grows with the slices alone, and a slice in which the site was down, or did not exist yet,
stays empty. Runs for which no schedule named a moment are few, and read.
"""

from bisect import bisect
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from sisy.models import Run, RunState
from sisy.reports.timeline.window import Window
from sisy.store.reports import succeeded_in_slices

SLICES = 48
FEW = 25  # tasks; of more, fewer slices are looked at

Stretch = tuple[float, float]
"""Where something begins, and how wide it is, in percent of a window's width."""


def succeeded_stretches(
    using: str, until: Mapping[int, datetime], window: Window
) -> dict[int, tuple[Stretch, ...]]:
    """Return where runs of some tasks succeeded, by the key of the task.

    Args:
        until: the keys of the tasks, each with the moment at which to stop looking.
    """
    if not until:
        return {}
    number = SLICES if len(until) <= FEW else SLICES // 2
    edges = [window.start + window.span * n / number for n in range(number + 1)]
    found = {*succeeded_in_slices(using, list(until), edges), *_by_hand(using, list(until), edges)}
    return {
        pk: _stretches([(pk, n) in found for n in range(number)], moment, edges, window)
        for pk, moment in until.items()
    }


def _by_hand(using: str, tasks: Sequence[int], edges: Sequence[datetime]) -> set[tuple[int, int]]:
    """Return each task and slice in which a run began and succeeded that no schedule named."""
    well = Run.objects.using(using).filter(task__in=tasks, due_at=None, state=RunState.SUCCEEDED)
    begun = well.filter(started_at__gte=edges[0], started_at__lt=edges[-1]).order_by()
    return {
        (task, bisect(edges, started_at) - 1)
        for task, started_at in begun.values_list("task", "started_at").iterator()
        if started_at is not None
    }


def _stretches(
    found: Sequence[bool], until: datetime, edges: Sequence[datetime], window: Window
) -> tuple[Stretch, ...]:
    """Return the slices that hold a run, joined where they touch."""
    joined: list[list[datetime]] = []
    for has_run, (start, end) in zip(found, pairwise(edges), strict=True):
        if not has_run or start >= until:
            continue
        if joined and joined[-1][1] == start:
            joined[-1][1] = min(end, until)
        else:
            joined.append([start, min(end, until)])
    places = ((window.place(start), window.place(end)) for start, end in joined)
    return tuple((x, round(end - x, 3)) for x, end in places)
