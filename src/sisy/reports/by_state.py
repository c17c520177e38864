"""Find the runs in a state: the small tables name their keys, and the ledger is read by key.

No index of the ledger contains a state or a moment, because these change. So a list of queued,
running or troubled runs begins at their entries (`sisy.records.small_tables`), which are few.
The keys are read first, and are then part of the next statement. In one statement, a database
may choose to read the ledger instead, from its newest run, until it has found enough.

Successful runs have no entries. They make up most of the ledger, so a report about them reads only
the runs with its newest `MAX_RUNS_WALKED` keys.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from django.db.models import QuerySet

from sisy.models import Run, RunState
from sisy.models.run import RunQuerySet
from sisy.records.small_tables import QueuedRun, RunningRun, TroubledRun

MAX_RUNS_WALKED = 50_000  # newest runs among which runs that ended recently are counted


def entries(using: str, state: str) -> QuerySet[Any]:
    """Return the entries of the runs in a state, which is not ``succeeded``."""
    if state == RunState.QUEUED:
        return QueuedRun.objects.using(using)
    if state == RunState.RUNNING:
        return RunningRun.objects.using(using)
    assert state != RunState.SUCCEEDED, "successful runs have no entries"
    return TroubledRun.objects.using(using).filter(state=state)


def troubled(using: str, states: Collection[str], tasks: Collection[int]) -> QuerySet[TroubledRun]:
    """Return the entries of the runs of some tasks that ended in one of some states."""
    return TroubledRun.objects.using(using).filter(task_id__in=tasks, state__in=states)


def keys_of(found: QuerySet[Any], most: int, before: int | None = None) -> list[int]:
    """Return the keys of the newest runs that have one of some entries.

    Args:
        before: the key of a run; only older runs are returned.
    """
    if before is not None:
        found = found.filter(run_id__lt=before)
    return list(found.order_by("-run_id").values_list("run_id", flat=True)[:most])


def running_runs(using: str) -> RunQuerySet:
    """Return the running runs. There are few: at most one for each slot of a worker."""
    runs: RunQuerySet = Run.objects.using(using).listed(RunningRun.objects.using(using))
    return runs.filter(state=RunState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewestRuns:
    """The newest runs of the ledger.

    Attributes:
        runs: the runs.
        older_planned_at: when the newest run before them was planned; None if there is none.
    """

    runs: RunQuerySet
    older_planned_at: datetime | None

    @classmethod
    def of(cls, using: str) -> Self:
        """Return the runs with the newest `MAX_RUNS_WALKED` keys, or all if there are not more."""
        runs = Run.objects.using(using).order_by("-pk")
        # Not the key of the run that is so far back: to find it, all runs up to it would be read.
        since = (runs.values_list("pk", flat=True).first() or 0) - MAX_RUNS_WALKED + 1
        older = runs.filter(pk__lt=since).values_list("planned_at", flat=True).first()
        return cls(runs=runs.filter(pk__gte=since).order_by(), older_planned_at=older)

    def ended_since(self, moment: datetime, most: int, **columns: Any) -> tuple[int, bool]:
        """Count runs that ended since a moment: return how many, and whether these are all.

        A run that was planned before all of these and ended since the moment is not counted.

        Args:
            most: the number at which it stops counting.
            columns: further conditions, as for ``filter()``.
        """
        ended = self.runs.filter(**columns, finished_at__gte=moment)
        number = ended[:most].count()
        return number, number < most and self.reach(moment)

    def reach(self, moment: datetime) -> bool:
        """Return whether all runs that were planned since a moment are among these."""
        return self.older_planned_at is None or self.older_planned_at < moment
