"""The stretches of time with successful runs that are too numerous to draw one by one.

A window is divided into slices. For each of them, the database says whether a run of the task was
due in it and succeeded. The index on task and due moment serves this query, so the cost depends
only on the number of slices. A slice stays empty if the site was down or did not exist yet. Runs
that no schedule planned are few, and are read one by one.
"""

from bisect import bisect
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from sisy.models import Run, RunState
from sisy.reports.timeline.window import Window
from sisy.store.reports import succeeded_in_slices

SLICES = 48
FEW = 25  # tasks; if there are more, the window has fewer slices

Stretch = tuple[float, float]
"""The start and the width of a stretch, in percent of the window's width."""


def succeeded_stretches(
    using: str, until: Mapping[int, datetime], window: Window
) -> dict[int, tuple[Stretch, ...]]:
    """Return where runs of some tasks succeeded, by the key of the task.

    Args:
        until: the keys of the tasks, each with the moment at which its stretches end.
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
    """Return each task and slice with a successful run that no schedule planned."""
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
    """Return the slices with a run, joined where they touch."""
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
