"""The ledger: one row for each occurrence, and for each run that somebody asked for."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from sisy.callables import Target
from sisy.models import locking
from sisy.models.choices import LIVE_STATES, Origin, RunState
from sisy.models.fields import MomentField
from sisy.models.process import Process

if TYPE_CHECKING:
    from sisy.models.task import Task


class RunQuerySet(models.QuerySet["Run"]):
    def waiting(self) -> Self:
        """Those that no worker has taken yet."""
        return self.filter(state=RunState.WAITING)

    def running(self) -> Self:
        """Those that a worker carries out."""
        return self.filter(state=RunState.RUNNING)

    def live(self) -> Self:
        """Those that are not over: waiting or running."""
        return self.filter(state__in=LIVE_STATES)

    def without_task(self) -> Self:
        """Those whose task was deleted."""
        return self.filter(task=None)

    def ready(self, now: datetime) -> Self:
        """Those that a worker may take at ``now``, in the order in which it should."""
        return self.waiting().filter(ready_at__lte=now).order_by("-priority", "ready_at", "id")

    def cancel_waiting(self, reason: str, now: datetime) -> int:
        """Call off those that no worker has taken, and return how many they were."""
        return self.waiting().update(state=RunState.CANCELLED, reason=reason, finished_at=now)

    def lock(self) -> list[int]:
        """Lock them until the transaction ends, and return their keys.

        Whoever changes several runs at once that others change, too, locks them first: always in
        the order of their keys, so that no two wait for each other.
        """
        return locking.lock(self)

    def held(self, runs: Iterable["Run"]) -> Self:
        """Those of ``runs`` that still belong to the holder and the attempt that ``runs`` name.

        The fence: a worker whose lease was taken over changes nothing through it.
        """
        holdings: dict[tuple[int | None, int], list[int]] = {}
        for run in runs:
            holdings.setdefault((run.holder_id, run.attempt), []).append(run.pk)
        fence = Q(pk__in=[])
        for (holder, attempt), pks in holdings.items():
            fence |= Q(pk__in=pks, holder=holder, attempt=attempt)
        return self.running().filter(fence)


class Run(models.Model):
    """The record of carrying out one occurrence, or one run that somebody asked for.

    It carries all that a worker needs, and outlives its task. One row may also stand for a gap:
    ``count`` occurrences from ``due_at`` to ``due_until`` that were missed.
    """

    task = models.ForeignKey(
        "sisy.Task",
        verbose_name=_("task"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="runs",
        db_index=False,
    )
    label = models.CharField(_("label"), max_length=255)
    target_path = models.CharField(_("target"), max_length=500)
    target_pk = models.CharField(_("object"), max_length=255, null=True, blank=True)  # noqa: DJ001
    payload = models.JSONField(
        _("payload"),
        default=dict,
        blank=True,
        help_text=_("The user data with which the run was asked for."),
    )
    origin = models.CharField(_("origin"), max_length=20, choices=Origin, default=Origin.SCHEDULE)
    queue = models.CharField(_("queue"), max_length=60, default="default")
    priority = models.SmallIntegerField(_("priority"), default=0)

    due_at = MomentField(
        _("due"),
        null=True,
        blank=True,
        help_text=_("The moment that the schedule names; empty if no schedule named one."),
    )
    ready_at = MomentField(_("ready"), help_text=_("Workers may take the run from here on."))
    planned_at = MomentField(_("planned"))
    started_at = MomentField(_("started"), null=True, blank=True)
    finished_at = MomentField(_("finished"), null=True, blank=True)

    state = models.CharField(_("state"), max_length=20, choices=RunState, default=RunState.WAITING)
    reason = models.CharField(
        _("reason"), max_length=500, blank=True, help_text=_("Why the run ended as it did.")
    )
    attempt = models.PositiveIntegerField(
        _("attempt"), default=0, help_text=_("How many times the run was started.")
    )
    times_lost = models.PositiveIntegerField(_("times lost"), default=0)
    holder = models.ForeignKey(
        Process,
        verbose_name=_("holder"),
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        related_name="runs",
        db_constraint=False,
        db_index=False,
        help_text=_("Names its process for good, also after that has gone."),
    )
    worker = models.CharField(_("worker"), max_length=300, blank=True)
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
    stands_for = MomentField(
        _("stands for"),
        null=True,
        blank=True,
        help_text=_("The occurrence that a retry or a backfill makes good."),
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
    cancel_asked_at = MomentField(
        _("cancel asked"),
        null=True,
        blank=True,
        help_text=_("When somebody asked for the end of the run while it was going."),
    )
    cancel_by_force = models.BooleanField(_("by force"), default=False)
    cancel_reason = models.CharField(_("cancel reason"), max_length=500, blank=True)
    result = models.JSONField(_("return value"), null=True, blank=True)
    error = models.TextField(_("error"), blank=True)

    due_until = MomentField(
        _("due until"), null=True, blank=True, help_text=_("The end of a gap: the last one due.")
    )
    count = models.PositiveBigIntegerField(
        _("occurrences"), default=1, help_text=_("How many occurrences this row stands for.")
    )

    objects: ClassVar[models.Manager["Run"]] = models.Manager.from_queryset(RunQuerySet)()

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["task", "due_at"], name="sisy_run_one_row_per_occurrence"
            ),
        ]
        # The state leads each index, since MySQL and MariaDB ignore the conditions.
        indexes = [
            models.Index(
                fields=["state", "queue", "-priority", "ready_at", "id"],
                name="sisy_run_claim",
                condition=Q(state=RunState.WAITING),
            ),
            models.Index(
                fields=["state", "ready_at"],
                name="sisy_run_ready",
                condition=Q(state=RunState.WAITING),
            ),
            models.Index(
                fields=["state", "holder"],
                name="sisy_run_held",
                condition=Q(state=RunState.RUNNING),
            ),
            models.Index(
                fields=["state", "task"],
                name="sisy_run_live",
                condition=Q(state__in=LIVE_STATES),
            ),
            models.Index(fields=["task", "-id"], name="sisy_run_history"),
            models.Index(fields=["finished_at"], name="sisy_run_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.label} #{self.pk}"

    @classmethod
    def of(cls, task: "Task", *, now: datetime, **columns: Any) -> "Run":
        """Return an unsaved run of ``task`` that a worker may take from ``ready_at`` (now) on."""
        return cls(
            task=task,
            label=task.label,
            target_path=task.target_path,
            target_pk=task.target_pk,
            queue=task.queue,
            priority=task.priority,
            planned_at=now,
            **{"ready_at": now, **columns},
        )

    @property
    def target(self) -> Target:
        """What the run calls."""
        return Target(path=self.target_path, pk=self.target_pk)

    @property
    def moment(self) -> datetime:
        """When the run should start: the due moment, or the one that was asked for."""
        moment: datetime = self.due_at or self.ready_at
        return moment

    @property
    def lateness(self) -> timedelta | None:
        """How long after its moment the run started; None while it has not."""
        if self.started_at is None:
            return None
        lateness: timedelta = self.started_at - self.moment
        return lateness

    @property
    def duration(self) -> timedelta | None:
        """How long the run took; None unless it has started and finished."""
        if self.started_at is None or self.finished_at is None:
            return None
        duration: timedelta = self.finished_at - self.started_at
        return duration
