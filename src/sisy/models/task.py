"""A task: its target, its schedule and its policies; and the function that creates one."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, Self, Unpack

from django.core.exceptions import ValidationError
from django.db import connections, models, router, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from sisy import clock
from sisy.callables import Callee, target_of
from sisy.lifecycle import task_state
from sisy.lifecycle.withdraw import withdraw, withdraw_outdated
from sisy.models import change_records
from sisy.models.declared import FollowsCode
from sisy.models.run import Run
from sisy.models.task_queries import CHANGED, TaskManager, prepare_deletion
from sisy.models.verbs import TaskVerbs
from sisy.planning import activation
from sisy.planning.declarations import Policies
from sisy.planning.overdue import settle_overdue
from sisy.planning.timing import timing_columns
from sisy.records.choices import TaskState
from sisy.records.dirty_fields import Write
from sisy.records.instances import reset, unsaved
from sisy.records.task import TaskRecord, check_columns, check_for_form
from sisy.records.task_fields import (
    CLEARED_BY,
    GIVEN_NAMES,
    OWNER_FIELDS,
    PUBLIC_NAMES,
    SHAPING_FIELDS,
    TARGET_FIELDS,
    TIMING_FIELDS,
    owners_columns,
)


class Task(TaskVerbs, FollowsCode, TaskRecord):
    """A callable with its schedule and policies.

    Create one with `task_with_callable`. ``save()`` writes only the fields that you have changed
    since you read the task, and never the scheduler's, so you can save it in the middle of a run.
    """

    run_model = Run
    objects: ClassVar["TaskManager"] = TaskManager()

    class Meta:
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        ordering = ["label", "id"]
        indexes = [
            models.Index(fields=["state", "next_run"], name="sisy_task_due"),
            # With db_index=True, PostgreSQL would maintain a second index for LIKE, and no query
            # would use it.
            models.Index(fields=["label"], name="sisy_task_label"),
            # Tasks of the default queue, which are most, are not in it: see `queue_names`.
            models.Index(fields=["queue"], name="sisy_task_queue", condition=~Q(queue="default")),
            models.Index(
                fields=["paused_until"],
                name="sisy_task_paused_until",
                condition=Q(paused_until__isnull=False),
            ),
            # Most tasks have none of these expectations, and are not in their indexes.
            models.Index(
                fields=["start_within"],
                name="sisy_task_start_within",
                condition=Q(start_within__isnull=False),
            ),
            models.Index(
                fields=["expected_duration"],
                name="sisy_task_expected",
                condition=Q(expected_duration__isnull=False),
            ),
            models.Index(
                fields=["stalled_after"],
                name="sisy_task_stalled_after",
                condition=Q(stalled_after__isnull=False),
            ),
            models.Index(
                # The state, because the moment of a paused task stays in the past.
                fields=["state", "silent_at"],
                name="sisy_task_silent",
                condition=Q(success_every__isnull=False),
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(iterations__isnull=True) | Q(iterations__gte=1),
                name="sisy_task_iterations_at_least_one",
            ),
            models.UniqueConstraint(fields=["name"], name="sisy_task_one_of_each_name"),
        ]
        permissions = [
            ("run_task", "Can run tasks now"),
            ("pause_task", "Can pause and resume tasks"),
            ("cancel_run", "Can cancel runs"),
            ("backfill_task", "Can backfill tasks"),
            ("view_run_details", "Can see user data, return values and errors of runs"),
            ("use_any_callable", "Can schedule any callable by its path"),
        ]

    @classmethod
    def calling(cls, target: Callee, *, pk_override: object = None, **fields: Any) -> Self:
        """Return an unsaved task that calls ``target``; see `task_with_callable`."""
        if unknown := fields.keys() - GIVEN_NAMES:
            raise TypeError(
                f"Unknown task field {min(unknown)!r}. Valid fields: "
                f"{', '.join(sorted(PUBLIC_NAMES[name] for name in OWNER_FIELDS))}."
            )
        found = target_of(target, pk_override)
        given = {name: value for name, value in fields.items() if value is not None}
        of_target = {
            "label": found.path[:255],
            "target_path": found.path,
            "target_pk": found.pk,
        }
        return unsaved(cls, {**of_target, **given})

    def clean(self) -> None:
        """Check every column, for forms.

        Raises:
            ValidationError: with a message for each invalid field, or for ``end_running`` if the
                task would never be due.
        """
        check_for_form(self)
        is_timed = self.schedule and (self._state.adding or self.changed_columns() & TIMING_FIELDS)
        if is_timed and self.state != TaskState.PAUSED:
            try:
                activation.check_window(self, clock.now(self._home))
            except ValueError as error:
                raise ValidationError({"end_running": str(error)}) from error

    def save(
        self,
        *,
        force_insert: bool | tuple[models.base.ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """Write the fields that changed, and recompute the next run if the timing changed.

        A new schedule, time zone or window applies from now on, never to the past. A task whose
        insertion was rolled back is inserted again.

        Args:
            update_fields: the fields to write, even if they have not changed. The scheduler's
                fields in it are ignored.

        Raises:
            ScheduleError: the schedule or the time zone is not valid.
            CallableError: a worker cannot call the target.
            ValueError: another value is not valid, or ``update_fields`` contains only the
                scheduler's fields.
        """
        using = using or self._home
        self.notice_rollback(using)
        if self._state.adding:
            self._insert(force_insert=force_insert, force_update=force_update, using=using)
            return
        changed = self.changed_columns()
        named = changed if update_fields is None else owners_columns(update_fields)
        if not named:
            return
        check_columns(self, changed & named)
        with transaction.atomic(using=using):
            if is_timed := self._changes_timing(named, changed, using):
                now = clock.now(using)
                settle_overdue(using, Task.objects.using(using).filter(pk=self.pk), now, CHANGED)
            before = change_records.values_before(self, named, using)
            cleared = frozenset(CLEARED_BY[name] for name in named & CLEARED_BY.keys())
            reset(self, cleared)
            super().save(force_update=force_update, using=using, update_fields=named | cleared)
            stored = Task.objects.using(using)
            # The clock is read again: what has fallen due while the row was locked stays.
            if is_timed:
                withdraw(stored, [self.pk], max(now, clock.now(using)))
            elif named & SHAPING_FIELDS:
                withdraw_outdated(stored, clock.now(using), [self.pk])
            if is_timed:
                activation.reschedule(self, using, now)
            elif "iterations" in named:
                activation.recount(self, using, clock.now(using))
            if changed & named & TARGET_FIELDS:
                self.target_error = ""  # the new target was checked above
                Task.objects.using(using).filter(pk=self.pk).update(target_error="")
                activation.revive(self, using, clock.now(using))
            change_records.record(self, before, using)
            self.remember(named, Write(connections[using]))

    def _changes_timing(self, named: frozenset[str], changed: frozenset[str], using: str) -> bool:
        """Return whether to write the ``named`` columns changes when the task is due."""
        timed = named & timing_columns(self.schedule)
        if not timed or timed & changed:
            return bool(timed)
        # Writing back the values that were read is a change if others have changed them since.
        this = Task.objects.using(using).select_for_update().filter(pk=self.pk)
        stored = this.values(*timed).first()
        return stored is not None and stored != {name: getattr(self, name) for name in timed}

    def _insert(self, *, using: str, **options: Any) -> None:
        pk = self.pk
        try:
            with transaction.atomic(using=using):
                now = clock.now(using)
                task_state.prepare_insert(self, now)
                self.insert_alone(using, **options)
                activation.activate(self, using, now)
        except BaseException:
            # The caller can correct the task and save it again.
            self.pk, self._state.adding = pk, True
            raise

    def delete(
        self, using: str | None = None, keep_parents: bool = False
    ) -> tuple[int, dict[str, int]]:
        """Delete the task and cancel its queued runs. Running runs finish; the history stays."""
        using = using or self._home
        with transaction.atomic(using=using):
            prepare_deletion(Task.objects.using(using).filter(pk=self.pk))
            return super().delete(using=using, keep_parents=keep_parents)


def task_with_callable(
    callable: Callee,  # noqa: A002 - the public name since Sisy 1.0
    label: str | None = None,
    schedule: str | None = None,
    userdata: dict[str, Any] | None = None,
    pk_override: object = None,
    *,
    start_running: datetime | None = None,
    end_running: datetime | None = None,
    iterations: int | None = None,
    timezone: str | None = None,
    queue: str | None = None,
    **policies: Unpack[Policies],
) -> Task:
    """Return a task that calls ``callable`` on its schedule. It is active once you ``save()`` it.

    Args:
        callable: a function, class method, static method, or the method of a saved model
            instance; or the dotted path of one. It takes one parameter, ``message``.
        label: the name to display; by default the path.
        schedule: by default ``SISY_DEFAULT_SCHEDULE``, every minute.
        userdata: data for the function, as JSON; empty by default.
        pk_override: the primary key of the object whose method is called, if you pass a path. It
            is not looked up, so this works in data migrations.
        start_running: an aware moment; the task does not run before it.
        end_running: an aware moment; the task does not run at or after it, and is then deleted.
        iterations: the number of runs, after which the task is deleted; no limit by default.
        timezone: the time zone of the schedule; by default Django's ``TIME_ZONE``.
        queue: the queue of the task's runs; ``default`` by default.
        policies: any policy of a task, such as ``overlap``.

    Raises:
        CallableError: a worker cannot call ``callable``; the message says how to fix it.
        TypeError: a task has no such field.
        ValueError: ``userdata`` is not a dict, or JSON cannot represent it. ``save()`` checks the
            other values.
    """
    return Task.calling(
        callable,
        pk_override=pk_override,
        label=label,
        schedule=schedule,
        userdata=userdata,
        start_running=start_running,
        end_running=end_running,
        iterations=iterations,
        timezone=timezone,
        queue=queue,
        **policies,
    )


def taskinfo_with_label(label: str) -> dict[str, Any]:
    """Return what the task with this label calls, as a dict of its parts.

    Raises:
        Task.DoesNotExist: no task has this label.
        Task.MultipleObjectsReturned: several tasks have it.
        TargetMissing: its target no longer exists.
    """
    return Task.objects.using(router.db_for_write(Task)).get(label=label).target.info()
