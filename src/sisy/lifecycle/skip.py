"""Skip queued runs, because another run of their task is running."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from django.db.models import F, Q

from sisy import signals
from sisy.lifecycle.task_state import active
from sisy.lifecycle.transition import Transition, send
from sisy.records.choices import Origin, RunState, TaskState
from sisy.records.run import RunRecord
from sisy.records.task import TaskRecord
from sisy.store.run_queries import rows_of

Skipped = tuple[RunRecord, int, str]
"""A run, the key of the run that blocks it, and the reason."""


def skip(using: str, task: TaskRecord, skipped: Sequence[Skipped], now: datetime) -> None:
    """Skip one or more locked runs of a task. They do not count as iterations."""
    alike: dict[tuple[int, str], list[RunRecord]] = defaultdict(list)
    for run, blocked_by, reason in skipped:
        alike[blocked_by, reason].append(run)
    for (blocked_by, reason), runs in alike.items():
        transition = Transition(
            {
                "state": RunState.SKIPPED,
                "reason": reason,
                "blocked_by_id": blocked_by,
                "finished_at": now,
            }
        )
        rows = rows_of(type(runs[0]), using)
        transition.write(rows.filter(pk__in=[run.pk for run in runs]))
        transition.note(runs)
    send(signals.run_skipped, [run for run, _, _ in skipped], using)
    count = sum(run.origin == Origin.SCHEDULE for run, _, _ in skipped)
    if count:
        _give_iterations_back(using, task, count)


def _give_iterations_back(using: str, task: TaskRecord, count: int) -> None:
    """Let a task plan more occurrences in place of the skipped ones, even if it was retired."""
    tasks = type(task)._default_manager.using(using).filter(pk=task.pk)
    tasks.filter(runs_planned__gte=count).update(runs_planned=F("runs_planned") - count)
    retired_by_count = Q(state=TaskState.RETIRED, iterations__isnull=False)
    active(next_run=None).write(tasks.filter(retired_by_count))
