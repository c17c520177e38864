"""The errors of a task's runs, each kind once."""

from dataclasses import dataclass
from datetime import datetime

from sisy.models import Run, Task
from sisy.models.choices import FAILED_STATES

READ = 500  # runs, the newest that came to trouble


@dataclass(slots=True, kw_only=True)
class Trouble:
    """One kind of error, with the runs that ended with it."""

    words: str
    count: int
    first: datetime | None
    newest: Run


def troubles(using: str, task: Task) -> list[Trouble]:
    """Return the errors of the newest runs that failed, the most frequent ones first."""
    runs = Run.objects.using(using).filter(task=task, state__in=FAILED_STATES).order_by("-pk")
    found: dict[str, Trouble] = {}
    for run in runs.defer("payload", "result")[:READ]:
        words = _last_line(run)
        if words in found:
            found[words].count += 1
            found[words].first = run.finished_at
        else:
            found[words] = Trouble(words=words, count=1, first=run.finished_at, newest=run)
    return sorted(found.values(), key=lambda trouble: -trouble.count)


def _last_line(run: Run) -> str:
    lines = run.error.strip().splitlines()
    return (lines[-1] if lines else run.reason)[:300] or str(run.get_state_display())
