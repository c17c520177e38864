"""The ledger: one row for each occurrence and for each submitted run."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.db import models, router, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from sisy import clock
from sisy.callables import Target
from sisy.lifecycle.cancel import cancel_run
from sisy.lifecycle.retry import retry
from sisy.models.process import Process, name_of_process
from sisy.models.run_queries import RunManager
from sisy.records.choices import Origin, Overlap, RunState, TaskState
from sisy.records.fields import DataField, KeptForeignKey, MomentField, ReasonField
from sisy.records.twins import twin
from sisy.store import entries

if TYPE_CHECKING:
    from sisy.models.task import Task


class Run(models.Model):
    """One run: an occurrence, or a submission by code or a person.

    The row has everything that a worker needs, and is kept when its task is deleted. ``task_id``
    keeps the task's key, but ``task`` is None then. A row can also represent ``count`` missed
    occurrences, from ``due_at`` to ``due_until``.
    """

    # Without a constraint, so that deleting a task does not write to its runs.
    task = KeptForeignKey(
        "sisy.Task",
        verbose_name=_("task"),
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        related_name="runs",
        db_constraint=False,
        db_index=False,
    )
    label = models.CharField(_("label"), max_length=255)
    target_path = models.CharField(_("callable"), max_length=500)
    target_pk = models.CharField(_("object"), max_length=255, null=True, blank=True)  # noqa: DJ001
    payload = DataField(
        _("payload"),
        default=dict,
        blank=True,
        help_text=_("The user data of this run."),
    )
    origin = models.CharField(_("origin"), max_length=20, choices=Origin, default=Origin.SCHEDULE)
    queue = models.CharField(_("queue"), max_length=60, default="default")
    priority = models.SmallIntegerField(_("priority"), default=0)
    engine = models.CharField(
        _("engine"),
        max_length=60,
        blank=True,
        help_text=_("The alias of TASKS that executes it. Empty for Sisy's own workers."),
    )
    due_at = MomentField(
        _("due"),
        null=True,
        blank=True,
        help_text=_(
            "When the run is due according to the schedule. Empty if the run was not scheduled."
        ),
    )
    planned_at = MomentField(_("planned"))
    occurrence_at = MomentField(
        _("occurrence"),
        null=True,
        blank=True,
        help_text=_("The occurrence that this retry or backfill repeats."),
    )
    retry_of = models.ForeignKey(
        "self",
        verbose_name=_("retry of"),
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    blocked_by = models.ForeignKey(
        "self",
        verbose_name=_("blocked by"),
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        related_name="+",
        db_constraint=False,
        db_index=False,
    )
    due_until = MomentField(
        _("due until"),
        null=True,
        blank=True,
        help_text=_("The last missed occurrence, if the row records several."),
    )
    count = models.PositiveBigIntegerField(
        _("occurrences"), default=1, help_text=_("The number of occurrences in this row.")
    )

    ready_at = MomentField(_("ready"), help_text=_("When the run becomes available to workers."))
    dispatched_at = MomentField(
        _("dispatched"),
        null=True,
        blank=True,
        help_text=_("When it was last sent to its engine."),
    )
    unresolved_since = MomentField(
        _("unresolved since"),
        null=True,
        blank=True,
        help_text=_(
            "When a worker first released the run because it could not find the function."
        ),
    )
    cancel_requested_at = MomentField(
        _("cancel requested"),
        null=True,
        blank=True,
        help_text=_("When the run was asked to stop."),
    )
    cancel_force = models.BooleanField(_("force"), default=False)
    cancel_reason = ReasonField(_("cancel reason"), max_length=500, blank=True)
    times_lost = models.PositiveIntegerField(_("times lost"), default=0)

    # What changes at the start and at the end comes last and together: PostgreSQL logs one stretch
    # of the row, from the first to the last byte that differs.
    state = models.CharField(_("state"), max_length=20, choices=RunState, default=RunState.QUEUED)
    attempt = models.PositiveIntegerField(
        _("attempt"), default=0, help_text=_("The number of attempts so far.")
    )
    process = models.ForeignKey(
        Process,
        verbose_name=_("process"),
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        related_name="runs",
        db_constraint=False,
        db_index=False,
    )
    started_at = MomentField(_("started"), null=True, blank=True)
    finished_at = MomentField(_("finished"), null=True, blank=True)
    reason = ReasonField(
        _("reason"), max_length=500, blank=True, help_text=_("Why the run is in this state.")
    )
    result = DataField(_("return value"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True)
    error_class = models.CharField(
        _("error class"),
        max_length=255,
        blank=True,
        help_text=_("The dotted path of the exception class that the function raised."),
    )

    objects: ClassVar["RunManager"] = RunManager()

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        ordering = ["-id"]
        constraints = [
            # Not the column's own NOT NULL, because of the outer joins: see `KeptForeignKey`.
            models.CheckConstraint(
                condition=Q(task__isnull=False), name="sisy_run_always_has_a_task"
            ),
            models.UniqueConstraint(
                fields=["task", "due_at"], name="sisy_run_one_row_per_occurrence"
            ),
        ]
        # None of their columns changes while a run is queued and executed, so that PostgreSQL can
        # update the row in place.
        indexes = [models.Index(fields=["task", "-id"], name="sisy_run_history")]

    def __str__(self) -> str:
        return f"{self.label} #{self.pk}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        using = kwargs.get("using") or router.db_for_write(Run, instance=self)
        with transaction.atomic(using=using, savepoint=False):
            super().save(*args, **kwargs)
            entries.follow(using, [self.pk])

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete the run, and its entry in the small tables."""
        using = kwargs.get("using") or router.db_for_write(Run, instance=self)
        with transaction.atomic(using=using, savepoint=False):
            entries.forget(using, [self.pk])
            return super().delete(*args, **kwargs)

    @property
    def target(self) -> Target:
        """The target of the run."""
        return Target(path=self.target_path, pk=self.target_pk)

    def cancel(self, reason: str = "Cancelled.", *, by_force: bool = False) -> bool:
        """Cancel the run if it is queued, or ask it to stop if it is running.

        Returns False if it has finished or was already asked.

        An async function is cancelled; in a plain one, ``current_run().check()`` raises. The run
        ends as cancelled only if the function then stops.

        Args:
            reason: stored with the run.
            by_force: also kill its process, if it runs in a process pool; threads cannot be
                killed.
        """
        using = router.db_for_write(Run, instance=self)
        return cancel_run(self, using, reason, clock.now(using), by_force=by_force)

    acancel = twin(cancel)

    def retry(self) -> "Run":
        """Submit another run for the same occurrence or submission, and return it.

        The schedule does not change. If the task was deleted, for example after `Task.run_once`,
        Sisy creates a copy of it for this run.

        Raises:
            CallableError: the task was deleted, and its target no longer exists.
            ValueError: this run has not finished, or represents several occurrences.
        """
        using = router.db_for_write(Run, instance=self)
        return retry(self, using, clock.now(using))

    aretry = twin(retry)

    def task_or_new(self, using: str) -> "Task":
        """Return the run's task, or save one like it, without a schedule, if it was deleted.

        The new one is deleted after its next run.
        """
        if self.task is not None:
            return self.task
        model = cast("type[Task]", self._meta.get_field("task").related_model)
        task = model(
            label=self.label,
            target_path=self.target_path,
            target_pk=self.target_pk,
            _extra_data=self.payload,
            schedule="",
            overlap=Overlap.ALLOW,
            queue=self.queue,
            priority=self.priority,
            state=TaskState.RETIRED,
        )
        task.save(using=using)
        return task

    @property
    def worker_name(self) -> str:
        """The name of the run's process as text, also after its end; empty if it is not known.

        Queries the process if it is not loaded: use ``select_related("process")`` for lists.
        """
        if self.process_id is None or Run.process.is_cached(self):
            return str(self.process or "")
        return name_of_process(self.process_id, self._state.db)

    @property
    def moment(self) -> datetime:
        """The due moment of the run's occurrence, or ``ready_at`` if it was not scheduled."""
        moment: datetime = self.occurrence_at or self.due_at or self.ready_at
        return moment

    @property
    def lateness(self) -> timedelta | None:
        """The time between ``ready_at`` and the start of the run; None before it starts.

        Planned delays do not count: its spread, the delay before a retry, or a ``delay_until``.
        """
        if self.started_at is None:
            return None
        lateness: timedelta = self.started_at - self.ready_at
        return lateness

    @property
    def duration(self) -> timedelta | None:
        """The duration of the run; None unless it has started and finished."""
        if self.started_at is None or self.finished_at is None:
            return None
        duration: timedelta = self.finished_at - self.started_at
        return duration
