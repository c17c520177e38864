"""How long an outage goes on in what it left behind: more runs than can start at once."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from tests.chaos.disturbances import merged
from tests.chaos.evidence import Disturbance, Execution, Row, Span, meets

OVERDUE = 1.0
MIN_BACKLOG = 10
"""So many tasks with overdue runs are a backlog: one that is stuck explains nothing by itself."""

CAUGHT_UP = 2.0


def extended(
    disturbances: Sequence[Disturbance], rows: Sequence[Row], executions: Sequence[Execution]
) -> list[Disturbance]:
    """Return the disturbances, each with the backlog that follows it without a break."""
    busy = backlogs(rows, executions)
    found = []
    for each in disturbances:
        start, end = each.span
        later = [stop for begin, stop in busy if meets((begin, stop), (start, end))]
        end = max([end, *(stop + CAUGHT_UP for stop in later)])
        found.append(replace(each, span=(start, end)))
    return merged(found)


def backlogs(rows: Sequence[Row], executions: Sequence[Execution]) -> list[Span]:
    """Return the times in which runs of many tasks were overdue."""
    starts: dict[int, float] = {}
    for execution in executions:
        starts[execution.run] = min(execution.start, starts.get(execution.run, execution.start))
    waits = [
        (row.key, max(row.due or row.ready, row.planned) + OVERDUE, starts[row.id])
        for row in rows
        if row.id in starts
    ]
    edges = sorted(
        edge
        for key, overdue, start in waits
        if overdue < start
        for edge in ((overdue, key, 1), (start, key, -1))
    )
    queued: dict[str, int] = {}
    spans: list[Span] = []
    for (at, key, change), (following, _, _) in pairwise([*edges, (float("inf"), "", 0)]):
        queued[key] = queued.get(key, 0) + change
        if not queued[key]:
            del queued[key]
        if len(queued) >= MIN_BACKLOG:
            if spans and spans[-1][1] >= at - OVERDUE:
                spans[-1] = (spans[-1][0], following)
            else:
                spans.append((at, following))
    return spans
