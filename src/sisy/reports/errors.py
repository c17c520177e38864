"""The errors of a task's runs, each kind once."""

from dataclasses import dataclass
from datetime import datetime

from sisy.models import Run, Task
from sisy.models.choices import FAILED_STATES

MAX_RUNS_READ = 500  # runs, the newest that came to trouble


@dataclass(slots=True, kw_only=True)
class ErrorGroup:
    """One kind of error, with the runs that ended with it."""

    words: str
    count: int
    first: datetime | None
    newest: Run


def error_groups(using: str, task: Task) -> list[ErrorGroup]:
    """Return the errors of the newest runs that failed, the most frequent ones first."""
    runs = Run.objects.using(using).filter(task=task, state__in=FAILED_STATES).order_by("-pk")
    found: dict[str, ErrorGroup] = {}
    for run in runs.defer("payload", "result")[:MAX_RUNS_READ]:
        words = _last_line(run)
        if words in found:
            found[words].count += 1
            found[words].first = run.finished_at
        else:
            found[words] = ErrorGroup(words=words, count=1, first=run.finished_at, newest=run)
    return sorted(found.values(), key=lambda group: -group.count)


def _last_line(run: Run) -> str:
    lines = run.error.strip().splitlines()
    return (lines[-1] if lines else run.reason)[:300] or str(run.get_state_display())
