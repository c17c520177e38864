"""What the ledger says, checked against what was really executed."""

from collections import Counter
from datetime import datetime

from sisy.models import Run, RunState
from tests.app.models import Execution


def due_moments(state: str = RunState.SUCCEEDED) -> list[datetime]:
    """Return the due moments of the runs that ended so, oldest first."""
    runs = Run.objects.filter(state=state).order_by("due_at")
    return list(runs.values_list("due_at", flat=True))


def count(*states: str) -> int:
    return Run.objects.filter(state__in=states).count()


def assert_each_run_was_executed_once() -> None:
    """Check that each row succeeded, and that its function was called once, for its moment."""
    calls = Counter(Execution.objects.values_list("run", "due", "attempt"))
    rows = Counter(
        (run.pk, run.moment.timestamp(), 1) for run in Run.objects.filter(state="succeeded")
    )
    assert set(Run.objects.values_list("state", flat=True)) <= {"succeeded", "missed"}
    assert calls == rows


def largest_lateness(**which) -> float:
    """Return by how many seconds the latest start came after its due moment."""
    started = Run.objects.filter(**which).exclude(started_at=None)
    return max((run.started_at - run.due_at).total_seconds() for run in started)
