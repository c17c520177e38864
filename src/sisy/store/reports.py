"""The statements with which reports read many tasks at once."""

from collections.abc import Collection, Sequence
from datetime import datetime

from django.db import connections

from sisy.store.statements import Statement

MOMENT_TYPES = {"postgresql": "timestamp with time zone", "mysql": "datetime(6)", "sqlite": "text"}

# An index leads to the newest runs of one task. So each task has a query of its own, and all of
# them are parts of one statement.
NEWEST_OF_A_TASK = """
    SELECT id FROM (
        SELECT id FROM sisy_run WHERE task_id = %(task_{number})s AND id < %(before)s
        ORDER BY id DESC LIMIT %(count)s
    ) AS newest_{number}
"""

# One row for each task and slice, instead of one condition for each slice: Django needs longer to
# put 96 conditions into SQL than the database needs to answer them. The index of the moments at
# which a task was due leads to the runs of each slice.
SUCCEEDED_IN_SLICES = """
    SELECT task.id, slice.number
    FROM sisy_task task CROSS JOIN (SLICES) slice
    WHERE task.id {in_tasks} AND EXISTS (
        SELECT 1 FROM sisy_run run
        WHERE run.task_id = task.id AND run.due_at >= slice.first AND run.due_at < slice.behind
            AND run.state = 'succeeded'
    )
"""
SLICE = (
    "SELECT {n} AS number, CAST(%(edge_{n})s AS {type}) AS first, "
    "CAST(%(edge_{m})s AS {type}) AS behind"
)

AFTER_ALL = 2**63 - 1


def newest_keys(
    using: str, tasks: Collection[int], count: int, before: int = AFTER_ALL
) -> list[int]:
    """Return the keys of the newest ``count`` runs of each task, all together.

    Args:
        before: only runs with smaller keys.
    """
    each = [NEWEST_OF_A_TASK.format(number=number) for number in range(len(tasks))]
    keys = {f"task_{number}": task for number, task in enumerate(tasks)}
    rows = Statement(" UNION ALL ".join(each)).rows(using, count=count, before=before, **keys)
    return [key for (key,) in rows]


def succeeded_in_slices(
    using: str, tasks: Sequence[int], edges: Sequence[datetime]
) -> set[tuple[int, int]]:
    """Return each task, and each number of a slice in which one of its runs was due and succeeded.

    Args:
        edges: where the slices begin, and where the last one ends.
    """
    moment = MOMENT_TYPES[connections[using].vendor]
    slices = [SLICE.format(n=n, m=n + 1, type=moment) for n in range(len(edges) - 1)]
    text = SUCCEEDED_IN_SLICES.replace("SLICES", " UNION ALL ".join(slices))
    named = {f"edge_{number}": edge for number, edge in enumerate(edges)}
    return {(task, number) for task, number in Statement(text).rows(using, tasks=tasks, **named)}
