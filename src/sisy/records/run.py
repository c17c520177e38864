"""The columns of a run, and the properties that depend only on them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from django.db import models
from django.utils.translation import gettext_lazy as _

from sisy.callables import Target
from sisy.records.choices import Origin, RunState
from sisy.records.fields import DataField, KeptForeignKey, MomentField, ReasonField


class RunRecord(models.Model):
    """The columns of a run. `sisy.models.Run` adds what users call on it.

    The layers below the models take runs as records, and never call those methods.
    """

    if TYPE_CHECKING:
        id: int

    trace_context: Mapping[str, str] | None = None
    """The headers of W3C Trace Context of the span that submitted the run, once they are read."""

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
    target_path = models.CharField(_("function"), max_length=500)
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
    count = models.BigIntegerField(
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
    times_lost = models.IntegerField(_("times lost"), default=0)

    # The columns that change when a run starts or ends come last, next to each other: PostgreSQL
    # logs one part of the row, from the first to the last byte that differs.
    state = models.CharField(_("state"), max_length=20, choices=RunState, default=RunState.QUEUED)
    attempt = models.IntegerField(
        _("attempt"), default=0, help_text=_("The number of attempts so far.")
    )
    process = models.ForeignKey(
        "sisy.Process",
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

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.label} #{self.pk}"

    @property
    def target(self) -> Target:
        """The target of the run."""
        return Target(path=self.target_path, pk=self.target_pk)

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
        # A run that a stopping worker has released keeps when it started, until it starts again.
        if self.started_at is None or self.state == RunState.QUEUED:
            return None
        lateness: timedelta = self.started_at - self.ready_at
        return lateness

    @property
    def duration(self) -> timedelta | None:
        """The duration of the run; None unless it has started and finished."""
        if self.started_at is None or self.finished_at is None:
            return None
        # A run that was started ahead of its moment may have been lost before it.
        duration: timedelta = self.finished_at - self.started_at
        return max(timedelta(0), duration)


R = TypeVar("R", bound=RunRecord)
