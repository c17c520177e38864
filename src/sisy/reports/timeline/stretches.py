"""The stretches of time with successful runs that are too numerous to draw one by one.

A window is divided into slices. For each of them, the database says when the first run of the task
that succeeded was due in it. The index on task and due moment serves this query, so the cost
depends only on the number of slices. A slice stays empty if the site was down or did not exist
yet. Of tasks with empty slices, the newest runs that no schedule planned are read one by one.
"""

from bisect import bisect
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from sisy.reports.timeline.window import Window
from sisy.store.reports import succeeded_in_slices, succeeded_unplanned

SLICES = 48
FEW = 25  # tasks; if there are more, the window has fewer slices
MAX_LOOKED_AT = 10_000  # newest runs of all tasks together, to find those that were not planned
MAX_OF_EACH = 1000  # of each task

Stretch = tuple[float, float]
"""The start and the width of a stretch, in percent of the window's width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The successful runs of tasks that are not drawn one by one.

    Attributes:
        stretches: where they are, by the key of the task.
        unplanned: the task and the start of those that no schedule planned, of tasks that have
            stretches without planned ones.
    """

    stretches: dict[int, tuple[Stretch, ...]] = field(default_factory=dict)
    unplanned: list[tuple[int, datetime]] = field(default_factory=list)


def succeeded(using: str, until: Mapping[int, datetime], window: Window) -> Succeeded:
    """Return where runs of some tasks succeeded.

    Args:
        until: the keys of the tasks, each with the moment at which its stretches end.
    """
    if not until:
        return Succeeded()
    number = SLICES if len(until) <= FEW else SLICES // 2
    edges = [window.start + window.span * n / number for n in range(number + 1)]
    first = succeeded_in_slices(using, list(until), edges)
    gaps = {
        pk
        for pk, moment in until.items()
        for n, start in enumerate(edges[:-1])
        if start < moment and (pk, n) not in first
    }
    unplanned = _unplanned(using, gaps, edges)
    for pk, moment in unplanned:
        place = pk, bisect(edges, moment) - 1
        first[place] = min(moment, first.get(place, moment))
    return Succeeded(
        stretches={
            pk: _stretches([first.get((pk, n)) for n in range(number)], moment, edges, window)
            for pk, moment in until.items()
        },
        unplanned=[(pk, moment) for pk, moment in unplanned if moment < until[pk]],
    )


def _unplanned(
    using: str, tasks: Collection[int], edges: Sequence[datetime]
) -> list[tuple[int, datetime]]:
    """Return the task and the start of successful runs that no schedule planned."""
    if not tasks:
        return []
    count = min(MAX_OF_EACH, MAX_LOOKED_AT // len(tasks))
    return succeeded_unplanned(using, tasks, count, edges[0], edges[-1])


def _stretches(
    first: Sequence[datetime | None],
    until: datetime,
    edges: Sequence[datetime],
    window: Window,
) -> tuple[Stretch, ...]:
    """Return the slices with a run, joined where they touch.

    Args:
        first: the first run of each slice. Before the first one of a stretch, nothing is drawn:
            its slice may have begun before the site existed, or while it was down.
    """
    joined: list[list[datetime]] = []
    for moment, (start, end) in zip(first, pairwise(edges), strict=True):
        if moment is None or moment >= until:
            continue
        if joined and joined[-1][1] == start:
            joined[-1][1] = min(end, until)
        else:
            joined.append([moment, min(end, until)])
    places = ((window.place(start), window.place(end)) for start, end in joined)
    return tuple((x, round(end - x, 3)) for x, end in places)
