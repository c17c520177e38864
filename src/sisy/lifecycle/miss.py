"""Record missed occurrences: a gap is one row, however many occurrences are in it."""

from datetime import datetime

from sisy.records.choices import RunState
from sisy.records.run import RunRecord
from sisy.records.task import TaskRecord


def missed_row(
    task: TaskRecord, first: datetime, last: datetime, count: int, reason: str, now: datetime
) -> RunRecord:
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
