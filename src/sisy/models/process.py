"""The registered processes (heartbeats, workers and engines), and their leases."""

import os
import socket
from datetime import datetime, timedelta
from importlib import metadata
from typing import TYPE_CHECKING, ClassVar, Self, cast

from django.db import models, router
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from sisy import clock, conf, signals
from sisy.records.choices import STOPPED, Role
from sisy.records.fields import MomentField, ReasonField
from sisy.records.twins import manager_from, twin
from sisy.runtime import signal_dispatch

LONGEST_LEASE = timedelta(seconds=conf.RANGES["lease_seconds"][1]) + timedelta(minutes=1)
"""A lease that ends later than this from now was taken before the clock was set back."""

DEFAULT_VERSION = f"Sisy {metadata.version('sisy')}"
"""The version of a process of a project that does not name its own."""


class ProcessQuerySet(models.QuerySet["Process"]):
    def alive(self, now: datetime) -> "ProcessQuerySet":
        """Return the processes whose lease has not expired."""
        return self.leased_until(now, now + LONGEST_LEASE)

    def leased_until(self, first: datetime, last: datetime) -> "ProcessQuerySet":
        """Return processes whose lease ends between two moments, both included."""
        return self.filter(lease_until__range=(first, last))

    def expired(self, now: datetime) -> "ProcessQuerySet":
        """Return processes whose lease has expired."""
        # A lease that ends later than any lease taken now was taken before the clock was set back.
        # It counts as expired. Otherwise, a dead worker would seem alive for hours. Live ones
        # renew it.
        return self.filter(Q(lease_until__lt=now) | Q(lease_until__gt=now + LONGEST_LEASE))

    def reported_dead(self) -> "ProcessQuerySet":
        """Return processes whose parent has reported their death, until their runs are rescued."""
        return self.filter(ended_at=None).exclude(end_reason="")

    def ended(self) -> "ProcessQuerySet":
        """Return processes that have ended."""
        return self.exclude(ended_at=None)


if TYPE_CHECKING:

    class ProcessManager(ProcessQuerySet, models.Manager["Process"]):  # type: ignore[misc]
        """The query set's methods, for type checkers."""
else:
    ProcessManager = manager_from(ProcessQuerySet)


class RegisteredManager(ProcessManager):
    """The processes that have not ended."""

    def get_queryset(self) -> ProcessQuerySet:
        """Return the processes that have not ended."""
        return cast("ProcessQuerySet", super().get_queryset().filter(ended_at=None))


class Process(models.Model):
    """A heartbeat, worker or engine process.

    It is registered until it stops, or until a heartbeat finds that it died and has rescued its
    runs. One renewal of the lease keeps all of its runs alive. Its row stays after its end, so
    that runs can name it, and is deleted together with old runs.

    ``Process.objects`` has the registered processes, and ``Process.all_objects`` also those that
    have ended.
    """

    role = models.CharField(_("role"), max_length=20, choices=Role)
    host = models.CharField(_("host"), max_length=255)
    pid = models.PositiveIntegerField(_("process id"))
    queues = models.JSONField(_("queues"), default=list, blank=True)
    slots = models.PositiveIntegerField(_("slots"), default=0)
    # A worker of the previous version may register during a deploy.
    version = models.CharField(
        _("version"),
        max_length=100,
        blank=True,
        default="",
        db_default="",
        help_text=_("The version of the project that the process executes."),
    )
    started_at = MomentField(_("started"))
    lease_until = MomentField(_("lease ends"))
    drain_requested_at = MomentField(
        _("drain requested"),
        null=True,
        blank=True,
        help_text=_("When the process was asked to drain."),
    )
    end_reason = ReasonField(
        _("end"),
        max_length=200,
        blank=True,
        help_text=_(
            "How it ended. The process that started it can set this before a heartbeat rescues "
            "its runs."
        ),
    )
    ended_at = MomentField(
        _("ended"),
        null=True,
        blank=True,
        help_text=_("When it ended. Empty while it is registered."),
    )

    problem = ReasonField(
        _("problem"),
        max_length=500,
        blank=True,
        help_text=_("Why the worker cannot start runs. It claims no runs until this is fixed."),
    )
    problem_since = MomentField(_("problem since"), null=True, blank=True)

    objects: ClassVar["ProcessManager"] = RegisteredManager()
    all_objects: ClassVar["ProcessManager"] = ProcessManager()

    class Meta:
        verbose_name = _("process")
        verbose_name_plural = _("processes")
        ordering = ["host", "pid"]
        indexes = [
            # Finds registered processes by the end of their lease, and ended ones by their own
            # end.
            models.Index(fields=["ended_at", "lease_until"], name="sisy_process_registered"),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.pid}@{self.host}"

    @property
    def using(self) -> str:
        """The alias of the database that stores the process."""
        return router.db_for_write(Process, instance=self)

    @classmethod
    def join(
        cls,
        role: Role,
        *,
        using: str,
        now: datetime,
        lease: timedelta,
        queues: tuple[str, ...] = (),
        slots: int = 0,
        problem: str = "",
        problem_since: datetime | None = None,
    ) -> Self:
        """Register the current process with a lease, and return its row."""
        process = cls(
            role=role,
            host=socket.gethostname()[:255],
            pid=os.getpid(),
            queues=list(queues),
            slots=slots,
            version=conf.get_settings().version or DEFAULT_VERSION,
            started_at=now,
            lease_until=now + lease,
            problem=problem[:500],
            problem_since=problem_since,
        )
        process.save(using=using)
        process._send(signals.worker_online)
        return process

    def renew(self, now: datetime, lease: timedelta) -> bool:
        """Renew the lease. Return False if the process is no longer registered.

        It also updates ``drain_requested_at``.
        """
        self.lease_until = now + lease
        # One row for each process: a single update keeps all of its runs alive. It repeats that
        # the process has not ended, so a process that was declared dead never comes back to life.
        row = Process.objects.using(self.using).filter(pk=self.pk)
        # Most processes were not asked to drain, so one statement is enough.
        if row.filter(drain_requested_at=None).update(lease_until=self.lease_until):
            return True
        if not row.update(lease_until=self.lease_until):
            return False
        self.drain_requested_at = row.values_list("drain_requested_at", flat=True).first()
        return True

    def has_silent_host(self, now: datetime, lease: timedelta) -> bool:
        """Return whether all processes of the host are silent, so that the host may be down."""
        # Processes renew at the latest when a third of the lease is gone. So the leases of a host
        # that went down all expire within a third of a lease.
        neighbours = Process.objects.using(self.using).alive(now).filter(host=self.host)
        since = min(self.lease_until, now) + lease / 3
        return not neighbours.filter(lease_until__gt=since, end_reason="").exists()

    def request_drain(self, now: datetime) -> bool:
        """Ask a worker to drain: it claims no more runs, and stops when its current runs finish.

        Returns False if it was already asked or has stopped. The worker notices at its next lease
        renewal at the latest.
        """
        alive = Process.objects.using(self.using).filter(pk=self.pk, drain_requested_at=None)
        if not alive.update(drain_requested_at=now):
            return False
        signals.drain_requested.send_robust(sender=Process, pk=self.pk)
        return True

    arequest_drain = twin(request_drain)

    def note_problem(self, problem: str, since: datetime | None) -> None:
        """Store why this worker cannot start runs, and since when. Pass "" if it can."""
        self.problem, self.problem_since = problem[:500], since
        Process.objects.using(self.using).filter(pk=self.pk).update(
            problem=self.problem, problem_since=since
        )

    def leave(self, reason: str = STOPPED, now: datetime | None = None) -> None:
        """Unregister the process: store its end. Sends ``worker_offline`` with the reason.

        Does nothing if the process has ended already.

        Args:
            now: the moment of its end; by default, the current time.
        """
        ended_at = now or clock.last_known(self.using)
        registered = Process.objects.using(self.using).filter(pk=self.pk)
        if registered.update(ended_at=ended_at, end_reason=reason):
            self.ended_at, self.end_reason = ended_at, reason
            self._send(signals.worker_offline, reason=reason)

    def _send(self, signal: signal_dispatch.ContainedSignal, **more: str) -> None:
        if self.role == Role.WORKER:
            signal_dispatch.send_on_commit(
                signal, Process, [{"process": self, **more}], self.using
            )


def name_of_process(pk: int, using: str | None) -> str:
    """Return the name of a process, even if it has ended; empty if its row was deleted."""
    # From the database that the caller names: a router could choose a replica, which may not know
    # the process yet.
    return str(Process.all_objects.using(using).filter(pk=pk).first() or "")
