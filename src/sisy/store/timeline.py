"""The statements of the timeline about runs that are too numerous to be drawn one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sisy.records.fields import moment_of
from sisy.store.statements import Statement

# The key of the small table leads to the newest entries of a task, and to the oldest one. The
# latter is needed if there are more than are read.
QUEUED_OF_A_TASK = """
    SELECT task_id, 0, ready_at {{as_utc}} FROM (
        SELECT task_id, ready_at FROM sisy_queued_run
        WHERE task_id = %(task_{number})s AND run_id < %(before_{number})s
        ORDER BY run_id DESC LIMIT %(count)s
    ) AS newest_{number}
    UNION ALL
    SELECT task_id, 1, ready_at {{as_utc}} FROM (
        SELECT task_id, ready_at FROM sisy_queued_run
        WHERE task_id = %(task_{number})s AND run_id < %(before_{number})s
        ORDER BY run_id LIMIT 1
    ) AS oldest_{number}
"""

# The index of the moments at which a task was due leads to the runs of a stretch of time.
SUCCEEDED_IN_A_STRETCH = """
    SELECT {number}, COUNT(*), MIN(due_at) {{as_utc}}, MAX(due_at) {{as_utc}} FROM (
        SELECT due_at FROM sisy_run
        WHERE task_id = %(task_{number})s AND due_at >= %(start_{number})s
            AND due_at < %(end_{number})s AND id < %(before_{number})s AND state = 'succeeded'
        ORDER BY due_at LIMIT %(count)s
    ) AS some_{number}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchOfTask:
    """A stretch of time in which runs of a task are counted, except the newest ones.

    Attributes:
        before: only runs with smaller keys are counted.
    """

    task: int
    before: int
    start: datetime
    end: datetime


def queued_before(
    using: str, before: Mapping[int, int], count: int
) -> tuple[list[tuple[int, datetime]], dict[int, datetime]]:
    """Return the task and ``ready_at`` of queued runs, and that of the oldest one of each task.

    Args:
        before: the keys of the tasks, each with a key; only runs with smaller keys are read.
        count: how many entries of each task are read, the newest ones.
    """
    each = [QUEUED_OF_A_TASK.format(number=number) for number in range(len(before))]
    values: dict[str, int] = {}
    for number, (task, key) in enumerate(before.items()):
        values |= {f"task_{number}": task, f"before_{number}": key}
    rows = Statement(" UNION ALL ".join(each)).rows(using, count=count, **values)
    found = [(task, is_oldest, moment_of(ready_at)) for task, is_oldest, ready_at in rows]
    newest = [(task, ready_at) for task, is_oldest, ready_at in found if not is_oldest]
    return newest, {task: ready_at for task, is_oldest, ready_at in found if is_oldest}


def count_succeeded(
    using: str, stretches: Sequence[StretchOfTask], count: int
) -> dict[int, tuple[int, datetime, datetime]]:
    """Return how many runs succeeded in stretches of time, and when the first and last were due.

    Only runs that a schedule planned are counted. Stretches without any are left out.

    Args:
        count: how many runs of each stretch are counted at most.

    Returns:
        The answers by the index of the stretch.
    """
    if not stretches:
        return {}
    each = [SUCCEEDED_IN_A_STRETCH.format(number=number) for number in range(len(stretches))]
    values: dict[str, int | datetime] = {}
    for number, one in enumerate(stretches):
        values |= {
            f"task_{number}": one.task,
            f"before_{number}": one.before,
            f"start_{number}": one.start,
            f"end_{number}": one.end,
        }
    rows = Statement(" UNION ALL ".join(each)).rows(using, count=count, **values)
    return {
        number: (found, moment_of(first), moment_of(last))
        for number, found, first, last in rows
        if found
    }
