"""Reads the ledger for the checker."""

from collections.abc import Iterator

from sisy.models import Run, Task
from tests.chaos.evidence import Row
from tests.chaos.moments import of


def rows() -> list[Row]:
    return [_row(run) for run in Run.objects.order_by("pk").defer("error", "result").iterator()]


def existing() -> frozenset[str]:
    return frozenset(Task.objects.values_list("label", flat=True))


def _row(run: Run) -> Row:
    return Row(
        id=run.pk,
        key=run.payload.get("key", run.label) if run.payload else run.label,
        origin=run.origin,
        state=run.state,
        task=run.task_id,
        due=of(run.due_at),
        due_until=of(run.due_until),
        count=run.count,
        ready=of(run.ready_at) or 0.0,
        planned=of(run.planned_at) or 0.0,
        started=of(run.started_at),
        finished=of(run.finished_at),
        attempt=run.attempt,
        priority=run.priority,
        times_lost=run.times_lost,
        blocked_by=run.blocked_by_id,
        reason=run.reason,
    )


def live_counts() -> Iterator[tuple[str, int]]:
    for state in ("queued", "running"):
        yield state, Run.objects.filter(state=state).count()
