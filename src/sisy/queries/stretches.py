"""Where runs of a task succeeded, without reading them: they are too many to be drawn.

A window is cut into slices, and the database says for each of them whether a run of the task
succeeded in it. Two indexes lead there: that of the moments at which a task was due, and within it
that of the runs for which no schedule named a moment. So the cost grows with the slices alone, and
a slice in which the site was down, or did not exist yet, stays empty.
"""

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise

from django.db.models import Exists, OuterRef

from sisy.models import Run, RunState, Task
from sisy.queries.window import Window

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
    slices = {f"slice_{n}": _has_run(*edge) for n, edge in enumerate(pairwise(edges))}
    tasks = Task.objects.using(using).filter(pk__in=until).order_by()
    return {
        pk: _stretches(list(found), until[pk], edges, window)
        for pk, *found in tasks.annotate(**slices).values_list("pk", *slices)
    }


def _has_run(start: datetime, end: datetime) -> "Exists":
    well = Run.objects.filter(task=OuterRef("pk"), state=RunState.SUCCEEDED).order_by()
    by_schedule = Exists(well.filter(due_at__gte=start, due_at__lt=end))
    by_hand = Exists(well.filter(due_at=None, started_at__gte=start, started_at__lt=end))
    return by_schedule | by_hand  # type: ignore[return-value]  # Django's stubs know no such or


def _stretches(
    found: list[bool], until: datetime, edges: list[datetime], window: Window
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
