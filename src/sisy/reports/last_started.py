"""The latest run of each task that has started, and what was missed since."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sisy.models import Run, RunState
from sisy.reports.ledger import newest_by_task
from sisy.store.judging import latest_ended

STEPS = (5, 100)
"""The newest runs of a task that are read, and if none of them has started, that are read then."""

TASKS_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """The latest run of a task that has started.

    Attributes:
        run: the run; None if none of the newest runs has started.
        missed: the newest occurrences that were missed after it; None if none was.
    """

    run: Run | None = None
    missed: Run | None = None


def last_started(using: str, tasks: Collection[int]) -> dict[int, Last]:
    """Return the latest run of each task that has started, by the key of the task.

    Occurrences that are queued, or that were missed, skipped or cancelled, did not start. It reads
    the `STEPS` newest runs of each task. Behind a longer backlog, it is the last one that ended.
    """
    found: dict[int, Last] = {}
    for count in STEPS:
        missing = [task for task in tasks if task not in found or found[task].run is None]
        for start in range(0, len(missing), TASKS_AT_ONCE):
            some = missing[start : start + TASKS_AT_ONCE]
            for task, runs in newest_by_task(using, some, count).items():
                found[task] = _last_of(runs)
    behind = [task for task, last in found.items() if last.run is None]
    ended = latest_ended(using, dict.fromkeys(behind, 1)) if behind else {}
    rows = Run.objects.using(using).defer("payload", "result", "error")
    runs_of = rows.in_bulk([run.pk for several in ended.values() for run in several])
    for task, several in ended.items():
        if last := _last_of([runs_of[run.pk] for run in several if run.pk in runs_of]).run:
            found[task] = _since(last, found[task].missed)
    return found


def _last_of(runs: Sequence[Run]) -> Last:
    """Return the last run that has started of some runs, the newest first."""
    started = [run for run in runs if run.started_at is not None]
    last = max(started, key=lambda run: (run.started_at, run.pk), default=None)
    missed = next((run for run in runs if run.state == RunState.MISSED), None)
    return _since(last, missed)


def _since(last: Run | None, missed: Run | None) -> Last:
    is_after = last is None or missed is None or missed.moment > last.moment
    return Last(run=last, missed=missed if is_after else None)
