"""Record missed occurrences: a gap is one row, however many occurrences are in it."""

from datetime import datetime
from typing import TYPE_CHECKING

from sisy.records.choices import RunState

if TYPE_CHECKING:
    from sisy.models.run import Run
    from sisy.models.task import Task


def missed_row(
    task: "Task", first: datetime, last: datetime, count: int, reason: str, now: datetime
) -> "Run":
    """Return an unsaved row for ``count`` occurrences, from ``first`` to ``last``.

    Store it with `sisy.lifecycle.submit.store_occurrences`.
    """
    return task.new_run(
        now=now,
        state=RunState.MISSED,
        due_at=first,
        due_until=last,
        count=count,
        reason=reason,
        finished_at=now,
    )
