"""Filter and change many tasks at a time."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.db import connections, models, transaction
from django.db.models import Exists, F, OuterRef

from sisy import clock, conf
from sisy.lifecycle.cancel import TASK_DELETED, cancel_queued
from sisy.lifecycle.task_state import (
    send_changed,
    when_iterations_change,
    when_target_changes,
    when_timing_changes,
)
from sisy.lifecycle.withdraw import withdraw, withdraw_outdated
from sisy.models.run import Run
from sisy.planning import activation, timing
from sisy.planning.overdue import settle_overdue
from sisy.records.choices import TaskState
from sisy.records.dirty_fields import Write
from sisy.records.small_tables import QueuedRun, RunningRun
from sisy.records.task_change import TaskChange
from sisy.records.task_fields import CLEARED_BY, SHAPING_FIELDS, TARGET_FIELDS, TIMING_FIELDS
from sisy.records.twins import manager_from, twin
from sisy.runtime.compat import can_delete_bare
from sisy.store import locking, retired

if TYPE_CHECKING:
    from sisy.models.task import Task

BATCH = 1000

CHANGED = (
    "The schedule was changed before a heartbeat planned the task. Occurrences of the old "
    "schedule do not run."
)


class TaskQuerySet(models.QuerySet["Task"]):
    def active(self) -> Self:
        """Return tasks that the heartbeat plans."""
        return self.filter(state=TaskState.ACTIVE)

    def due(self, now: datetime) -> Self:
        """Return tasks with an occurrence that is due at ``now``, the longest overdue first."""
        return self.active().filter(next_run__lte=now).order_by("next_run", "pk")

    def to_be_planned(self) -> Self:
        """Return tasks without those whose ``next_run`` is planned already: see `plan_ahead`."""
        return self.exclude(planned_until__gte=F("next_run"))

    def soon_due(self, now: datetime, until: datetime) -> Self:
        """Return tasks that fall due by ``until``, but not yet, and can be planned ahead."""
        # Like `sisy.store.due.LOCK_TASKS_AHEAD`.
        soon = self.active().native().filter(next_run__gt=now, next_run__lte=until)
        return soon.to_be_planned().filter(spread=timedelta(0)).order_by("next_run", "pk")

    def native(self) -> Self:
        """Return tasks whose runs Sisy's own workers execute."""
        return self.filter(engine__in=conf.get_settings().native_engines)

    def unplanned(self) -> Self:
        """Return tasks whose next occurrence is not computed yet."""
        return self.active().filter(next_run=None)

    def with_stale_timing(self) -> Self:
        """Return tasks whose timing was changed by raw SQL after ``next_run`` was computed."""
        # Tasks changed by an update() are left out: they have no next_run, but say when they were
        # changed.
        planned = self.active().exclude(next_run=None)
        return planned.exclude(timing_fingerprint=timing.fingerprint())

    def ended(self) -> Self:
        """Return retired tasks without queued or running runs."""
        # Declared tasks are kept: the next deploy would create them again, and they would run
        # again.
        live = [model.objects.filter(task_id=OuterRef("pk")) for model in (QueuedRun, RunningRun)]
        without_live = self.filter(*(~Exists(entries) for entries in live))
        return without_live.filter(state=TaskState.RETIRED, declaration__isnull=True)

    def declared(self) -> Self:
        """Return tasks that code declared at the last sync."""
        return self.filter(declaration__isnull=False, undeclared_at=None)

    def update(self, **columns: Any) -> int:
        """Update as Django does. If the timing changes, the next tick recomputes ``next_run``."""
        cleared = {CLEARED_BY[name] for name in columns.keys() & CLEARED_BY.keys()}
        columns = {**dict.fromkeys(cleared), **columns}
        if columns.keys().isdisjoint(SHAPING_FIELDS):
            return super().update(**columns)
        self._for_write = True
        now = clock.now(self.db)
        with transaction.atomic(using=self.db):
            if columns.keys() & TIMING_FIELDS or ("label" in columns and self._has_hashed()):
                settle_overdue(self.db, self, now, CHANGED)
                columns = {**when_timing_changes(now), **columns}
            elif "iterations" in columns:
                columns = {**when_iterations_change(columns["iterations"], now), **columns}
            elif columns.keys() & TARGET_FIELDS:
                columns = {**when_target_changes(now), **columns}
            count = super().update(**columns)
            # After the update, which has locked the tasks: no heartbeat plans one in between. The
            # clock is read again: what has fallen due while the update waited for a lock stays.
            stored = self.model._base_manager.using(self.db)
            withdraw_outdated(stored, max(now, clock.now(self.db)))
            send_changed(self.model, self.db)
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def _has_hashed(self) -> bool:
        """Return whether the label of any of the tasks decides when it is due."""
        schedules = self.filter(schedule__icontains="h").order_by().values_list("schedule")
        return any("label" in timing.timing_columns(one) for (one,) in schedules.distinct())

    def bulk_update(
        self, objs: Iterable["Task"], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        """Update as Django does. The next ``save()`` does not write these fields again."""
        tasks, names = tuple(objs), tuple(fields)
        self._for_write = True
        count = super().bulk_update(tasks, names, batch_size)
        write = Write(connections[self.db])
        for task in tasks:
            task.remember(frozenset(names), write)
        return count

    bulk_update.alters_data = True  # type: ignore[attr-defined]

    def bulk_create(
        self,
        objs: "Iterable[Task]",
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> "list[Task]":
        """Check, insert and plan many tasks together, all or none.

        They are active as after ``save()``. As in Django, ``pre_save`` and ``post_save`` are not
        sent.

        Raises:
            ScheduleError, CallableError: as for `Task.save`; the message begins with the position
                in ``objs``.
            ValueError: another column has an invalid value, or an argument about conflicts is
                given.
        """
        if ignore_conflicts or update_conflicts or update_fields or unique_fields:
            raise ValueError(
                "Task.objects.bulk_create() only inserts. Remove ignore_conflicts, "
                "update_conflicts, update_fields and unique_fields. Change existing tasks with "
                "save() or update()."
            )
        self._for_write = True
        tasks = list(objs)
        activation.create(self, tasks, batch_size, clock.now(self.db))
        return tasks

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Delete the tasks and cancel their queued runs. The history stays."""
        self._for_write = True
        using = self.db
        with transaction.atomic(using=using):
            pks = prepare_deletion(self)
            # By now, the filter may match further tasks, which are not locked and must stay. It
            # may also match fewer, for example if it looks for queued runs. So use the keys alone.
            locked = type(self)(self.model, using=using).filter(pk__in=pks)
            return super(TaskQuerySet, locked).delete()

    def delete_ended(self) -> int:
        """Delete the tasks that have `ended`, and return their number. The history stays."""
        self._for_write = True
        with transaction.atomic(using=self.db):
            locked = locking.lock(self.filter(state=TaskState.RETIRED))
            return _delete_ended(type(self)(self.model, using=self.db), locked)

    adelete_ended = twin(delete_ended)

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


def delete_ended_of(stored: TaskQuerySet, tasks: list[int]) -> int:
    """Delete those of some tasks that have ended, and return their number.

    Args:
        stored: all tasks of the database.
        tasks: the keys of the tasks.
    """
    with transaction.atomic(using=stored.db):
        return _delete_ended(stored, retired.lock_retired(stored.db, tasks))


def _delete_ended(stored: TaskQuerySet, locked: list[int]) -> int:
    # Locked first, so that no backfill or heartbeat adds a run after this. Other code can submit
    # one without locking the task: the worker that claims that run cancels it.
    ended = retired.ended_among(stored.db, locked)
    if not ended:
        return 0
    if can_delete_bare(stored):
        retired.delete(stored.db, ended)
    else:
        models.QuerySet.delete(stored.filter(pk__in=ended))
    return len(ended)


def prepare_deletion(tasks: TaskQuerySet) -> list[int]:
    """Record what ``tasks`` have missed, cancel their queued runs, and return their keys.

    Call it in the transaction that deletes the tasks.
    """
    using = tasks.db
    # Locked first, so that a heartbeat that is planning one adds no run after this.
    pks = locking.lock(tasks)
    # Read after the lock, which may have waited: what fell due in the meantime counts.
    now = clock.now(using)
    locked = tasks.model._base_manager.using(using).filter(pk__in=pks)
    settle_overdue(using, locked, now, TASK_DELETED, for_good=True)
    withdraw(tasks.model._base_manager.using(using), pks, now)
    for start in range(0, len(pks), BATCH):
        live = Run.objects.using(using).live_of(pks[start : start + BATCH])
        live.lock()
        cancel_queued(live, TASK_DELETED, now)
        TaskChange.objects.using(using).filter(task_id__in=pks[start : start + BATCH]).delete()
    send_changed(tasks.model, using)
    return pks


if TYPE_CHECKING:

    class TaskManager(TaskQuerySet, models.Manager["Task"]):  # type: ignore[misc]
        """The query set's methods, for type checkers."""
else:
    TaskManager = manager_from(TaskQuerySet)
