"""Filter, lock, change and delete many runs at a time, whatever their class adds to a record."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, Self, cast

from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q, Subquery

from sisy.records.choices import LIVE_STATES, RunState
from sisy.records.run import R, RunRecord
from sisy.records.small_tables import QueuedRun, RunningRun, planned_ahead
from sisy.runtime.compat import for_write
from sisy.store import entries, locking
from sisy.store.named_by import NamedBy

COPIED_TO_ENTRIES = frozenset(
    {
        "state",
        "engine",
        "queue",
        "priority",
        "ready_at",
        "planned_at",
        "due_at",
        "process",
        "process_id",
        "task",
        "task_id",
        "finished_at",
    }
)
"""The columns of a run that its entries in the small tables copy."""

UPDATE_BATCH = 2000  # runs


def _is_leaving(now: datetime) -> Q:
    """Return a condition for runs that a stopping worker has released, but may still execute."""
    return Q(state=RunState.QUEUED, started_at__isnull=False, ready_at__gt=now)


def has_entry(model: type[models.Model]) -> Exists:
    """Return a condition for runs with an entry in a small table, which leads to them."""
    entry = model._default_manager.filter(task_id=OuterRef("task_id"), run_id=OuterRef("pk"))
    return Exists(entry)


def has_task(model: type[RunRecord]) -> Exists:
    """Return a condition for runs whose task exists."""
    return Exists(_task(model))


def known_task(model: type[RunRecord]) -> Subquery:
    """Return the key of the task of a run as a column; None if the task was deleted.

    PostgreSQL looks it up for each row that is returned. For `has_task` as a column, it would read
    the keys of all tasks first.
    """
    return Subquery(_task(model).order_by().values("pk"))


def _task(model: type[RunRecord]) -> Any:
    tasks: Any = model._meta.get_field("task").related_model
    return tasks._base_manager.filter(pk=OuterRef("task_id"))


class RunRows(models.QuerySet[R]):
    """Runs. Writes update their entries in the small tables, too: see `sisy.store.entries`."""

    def update(self, **columns: Any) -> int:
        if COPIED_TO_ENTRIES.isdisjoint(columns):
            return super().update(**columns)
        rows = for_write(self)
        count = 0
        with transaction.atomic(using=rows.db, savepoint=False):
            pks = list(rows.order_by("pk").values_list("pk", flat=True))
            # By key: a run that matches only from now on would be changed without its entries.
            for start in range(0, len(pks), UPDATE_BATCH):
                these = pks[start : start + UPDATE_BATCH]
                count += super(RunRows, self.filter(pk__in=these)).update(**columns)
                entries.follow(rows.db, these)
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[R], *args: Any, **kwargs: Any) -> list[R]:
        with transaction.atomic(using=self.db, savepoint=False):
            stored = super().bulk_create(objs, *args, **kwargs)
            are_queued = all(run.state == RunState.QUEUED for run in stored)
            entries.add_inserted(self.db, [run.pk for run in stored], are_queued=are_queued)
        return stored

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        rows = for_write(self)
        with transaction.atomic(using=rows.db, savepoint=False):
            # By key: the query may look for the entries that are deleted first.
            pks = list(rows.values_list("pk", flat=True))
            entries.forget_all(rows.db, pks)
            return super(RunRows, all_runs(rows).filter(pk__in=pks)).delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def queued(self) -> Self:
        """Return runs that no worker has claimed."""
        return self.filter(has_entry(QueuedRun), state=RunState.QUEUED)

    def running(self) -> Self:
        """Return runs that a worker has claimed."""
        return self.filter(has_entry(RunningRun), state=RunState.RUNNING)

    def possibly_running(self, now: datetime) -> Self:
        """Return runs whose function may be running at ``now``.

        They are running, or a stopping worker has released them. The latter are queued, and become
        ready when that worker has certainly stopped.
        """
        return self.live().not_surely_queued(now)

    def not_surely_queued(self, now: datetime) -> Self:
        """Leave out live runs whose function certainly does not run; see `possibly_running`."""
        return self.filter(Q(state=RunState.RUNNING) | _is_leaving(now))

    def surely_queued(self, now: datetime) -> Self:
        """Return queued runs without those that a stopping worker may still execute."""
        return self.queued().exclude(_is_leaving(now))

    def live(self) -> Self:
        """Return runs that are queued or running."""
        return self._among(QueuedRun.objects.all(), RunningRun.objects.all())

    def live_of(self, tasks: Collection[int], now: datetime | None = None) -> Self:
        """Return the runs of tasks, by their keys, that are queued or running.

        Args:
            now: leave out runs that were planned ahead and are not due at this moment.
        """
        queued = QueuedRun.objects.filter(task_id__in=tasks)
        if now is not None:
            queued = queued.exclude(planned_ahead(now))
        return self._among(queued, RunningRun.objects.filter(task_id__in=tasks))

    def running_in(self, process: int) -> Self:
        """Return the runs that a process, by its key, has claimed."""
        entries = RunningRun.objects.filter(process_id=process)
        return self.listed(entries).filter(state=RunState.RUNNING, process=process)

    def listed(self, entries: models.QuerySet[Any]) -> Self:
        """Return the runs that have one of these entries in a small table."""
        return self.filter(NamedBy.entries(entries))

    def _among(
        self, queued: models.QuerySet[QueuedRun], running: models.QuerySet[RunningRun]
    ) -> Self:
        entries = queued.values("run_id").union(running.values("run_id"), all=True)
        return self.filter(NamedBy.entries(entries), state__in=LIVE_STATES)

    def with_task(self) -> Self:
        """Return runs whose task exists."""
        return self.filter(has_task(self.model))

    def without_task(self) -> Self:
        """Return runs whose task was deleted."""
        return self.filter(~has_task(self.model))

    def ready(self, now: datetime) -> Self:
        """Return queued runs that workers may claim at ``now``, the next one first."""
        return self.queued().filter(ready_at__lte=now).order_by("-priority", "ready_at", "id")

    def native(self) -> Self:
        """Return runs that Sisy's own workers execute."""
        return self.filter(engine="")

    def of_other_engines(self) -> Self:
        """Return runs that backends of ``django.tasks`` execute."""
        return self.filter(engine__gt="")

    def lock(self) -> list[int]:
        """Lock the runs until the transaction ends, and return their keys.

        Call it before you change several runs that other processes change, too.
        """
        # All code locks in the order of the keys, so that no two transactions wait for each other.
        return locking.lock(self)

    def held(self, runs: Iterable[RunRecord]) -> Self:
        """Return those of ``runs`` that still belong to the process and attempt on the objects."""
        # The fence: a worker that has lost its lease finds no rows, and so changes nothing.
        holdings: dict[tuple[int | None, int], list[int]] = {}
        for run in runs:
            holdings.setdefault((run.process_id, run.attempt), []).append(run.pk)
        fence = Q(pk__in=[])
        for (process, attempt), pks in holdings.items():
            fence |= Q(pk__in=pks, process=process, attempt=attempt)
        return self.filter(fence, state=RunState.RUNNING)


def rows_of(model: type[R], using: str) -> RunRows[R]:
    """Return all rows of a model of runs."""
    return cast("RunRows[R]", model._default_manager.using(using))


def all_runs(rows: RunRows[R]) -> RunRows[R]:
    """Return all runs of the database of ``rows``."""
    return rows_of(rows.model, rows.db)
