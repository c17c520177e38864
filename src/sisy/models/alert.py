"""Alerts: problems that people are notified of when they begin, and when they are over.

::

    (none) ── open ──────────────► open
    open ── recover, close ──────► closed
    closed ── recur soon, reopen ► open

`sisy.alerting` opens and closes alerts. The methods here are the actions of people.
"""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import IntegrityError, models, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Concat
from django.utils.translation import gettext_lazy as _

from sisy import signals
from sisy.records.fields import MomentField, ReasonField
from sisy.records.problems import Kind, Severity, severity_of
from sisy.records.twins import manager_from, twin
from sisy.runtime import signal_dispatch
from sisy.runtime.signal_dispatch import ContainedSignal

CLOSED_BY_HAND = "Closed by %s."
KEY_IF_OPEN = Concat(F("kind"), Value(":"), F("subject"))
"""The key of an alert while it is open, as the database computes it."""


class AlertQuerySet(models.QuerySet["Alert"]):
    def open(self) -> "AlertQuerySet":
        """Return the alerts whose problem is not over."""
        return self.exclude(open_key=None)

    def closed(self) -> "AlertQuerySet":
        """Return the alerts that were closed by a recovery or by a person."""
        return self.filter(open_key=None)

    def rechecked(self, now: datetime) -> "AlertQuerySet":
        """Return the open alerts that may close: those that were reported, or need not be."""
        pending = Q(is_notified=False, reopened=0, notify_at__isnull=False)
        return self.open().exclude(pending & (Q(muted_until=None) | Q(muted_until__lte=now)))

    def acknowledge(self, by: str, now: datetime) -> int:
        """Record who handles open alerts. Return how many were not acknowledged before."""
        unknown = self.open().filter(acknowledged_at=None)
        return unknown.update(acknowledged_at=now, acknowledged_by=by)

    aacknowledge = twin(acknowledge)

    def unacknowledge(self) -> int:
        """Undo `acknowledge` for open alerts. Return how many were acknowledged."""
        known = self.open().exclude(acknowledged_at=None)
        return known.update(acknowledged_at=None, acknowledged_by="")

    aunacknowledge = twin(unacknowledge)

    def mute(self, until: datetime, by: str) -> int:
        """Send no messages about these alerts until a moment. Return how many were changed.

        If the problem recurs before that moment, its next alert is muted, too.
        """
        return self.exclude(muted_until=until).update(muted_until=until, muted_by=by)

    amute = twin(mute)

    def unmute(self, now: datetime) -> int:
        """Send messages about these alerts again. Return how many were muted at ``now``."""
        muted = self.filter(muted_until__gt=now)
        muted.open().filter(is_notified=False).update(notify_at=now)
        return muted.update(muted_until=None, muted_by="")

    aunmute = twin(unmute)

    def close(self, by: str, now: datetime) -> int:
        """Close open alerts without a message. Return how many were open.

        The same problem opens an alert again only with new evidence, such as another failed run.
        """
        return self.end(
            closed_at=now,
            closed_by=by,
            close_reason=CLOSED_BY_HAND % by,
            is_notified=False,
            notify_at=None,
        )

    aclose = twin(close)

    def reopen(self) -> int:
        """Undo `close`: open alerts that a person has closed. Return how many were closed.

        No message is sent. An alert stays closed if another one about the same problem is open. If
        its problem is over, a heartbeat closes it again.
        """
        self._for_write = True
        by_hand = self.closed().exclude(closed_by="")
        # The newest first: only one of several about the same problem can be open.
        newest_first = list(by_hand.order_by("-pk").values_list("pk", flat=True))
        return sum(_reopen(self.db, pk) for pk in newest_first)

    areopen = twin(reopen)

    def end(self, **columns: Any) -> int:
        """Close open alerts, and send a signal for each. Return how many were open."""
        self._for_write = True
        with transaction.atomic(using=self.db):
            # Locked, so that each of them is closed once, even if others close it right now.
            closed = Alert.objects.using(self.db).filter(pk__in=self.open().locked())
            number = closed.update(open_key=None, **columns)
            closed.send_on_commit(signals.alert_closed)
        return number

    def locked(self) -> list[int]:
        """Lock these alerts for the current transaction, and return their keys."""
        # Another transaction may have opened or closed them before they could be locked.
        return list(self.order_by("pk").select_for_update().values_list("pk", flat=True))

    def send_on_commit(self, signal: ContainedSignal) -> None:
        """Send a signal for each of these alerts when the transaction is committed."""
        news = ({"alert": alert} for alert in self.order_by("pk"))
        signal_dispatch.send_on_commit(signal, Alert, news, self.db)


def _reopen(using: str, pk: int) -> int:
    alert = Alert.objects.using(using).filter(pk=pk)
    try:
        with transaction.atomic(using=using):
            number = (
                alert.closed()
                .exclude(closed_by="")
                .update(
                    open_key=KEY_IF_OPEN,
                    closed_at=None,
                    closed_by="",
                    close_reason="",
                    # Who got the message that it is open gets the one that it is over.
                    is_notified=Case(When(thread="", then=Value(False)), default=Value(True)),
                )
            )
            if number:
                alert.send_on_commit(signals.alert_opened)
    except IntegrityError:  # another alert about the problem is open
        return 0
    return number


if TYPE_CHECKING:

    class AlertManager(AlertQuerySet, models.Manager["Alert"]):  # type: ignore[misc]
        """The query set's methods, for type checkers."""
else:
    AlertManager = manager_from(AlertQuerySet)


class Alert(models.Model):
    """A problem of a task, of a queue or of a heartbeat, from its beginning to its end.

    A problem has at most one open alert, however many runs it concerns, and however many
    heartbeats find it: `open_key` is unique, and is cleared when the alert closes.
    """

    open_key = models.CharField(max_length=300, null=True)  # noqa: DJ001
    kind = models.CharField(_("kind"), max_length=20, choices=Kind)
    subject = models.CharField(
        _("subject"),
        max_length=275,
        help_text=_("The task, function, queue or host that it is about, such as task:5."),
    )
    task_id = models.BigIntegerField(_("task"), null=True)
    run_id = models.BigIntegerField(_("run"), null=True)
    queue = models.CharField(_("queue"), max_length=60, blank=True)
    label = ReasonField(_("label"), max_length=255, blank=True)
    why = ReasonField(_("why"), max_length=1000)
    cause = ReasonField(
        _("cause"),
        max_length=500,
        default="",
        db_default="",
        blank=True,
        help_text=_("What all alerts with the same cause say. Empty if that is the whole text."),
    )
    fix = ReasonField(_("fix"), max_length=500, blank=True)
    evidence = models.BigIntegerField(
        _("evidence"),
        default=0,
        help_text=_("The key of the run, or another number, that shows the problem."),
    )
    since = MomentField(_("since"), help_text=_("When the problem began."))
    opened_at = MomentField(_("opened"))
    reopened = models.PositiveIntegerField(
        _("reopened"), default=0, help_text=_("How often the problem recurred within ten minutes.")
    )
    closed_at = MomentField(_("closed"), null=True)
    close_reason = ReasonField(_("close reason"), max_length=300, blank=True)
    closed_by = ReasonField(_("closed by"), max_length=150, blank=True)
    acknowledged_at = MomentField(_("acknowledged"), null=True)
    acknowledged_by = ReasonField(_("acknowledged by"), max_length=150, blank=True)
    muted_until = MomentField(_("muted until"), null=True)
    muted_by = ReasonField(_("muted by"), max_length=150, blank=True)
    is_notified = models.BooleanField(
        default=False, help_text=_("Whether the last message about it said that it is open.")
    )
    notify_at = MomentField(
        null=True, help_text=_("When to send a message about its state. Empty for never.")
    )
    notified_at = MomentField(null=True, help_text=_("When the last message was stored."))
    thread = models.CharField(
        max_length=200, blank=True, help_text=_("The key of the last message that it is open.")
    )

    objects: ClassVar["AlertManager"] = AlertManager()

    class Meta:
        db_table = "sisy_alert"
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ["-id"]
        permissions = [("handle_alert", "Can acknowledge, mute and close alerts")]
        constraints = [
            # Not ``unique=True``, which adds an index for searches by the beginning of the text.
            models.UniqueConstraint(fields=["open_key"], name="sisy_alert_open"),
        ]
        indexes = [
            models.Index(fields=["subject", "kind", "-id"], name="sisy_alert_subject"),
            models.Index(
                fields=["notify_at"],
                name="sisy_alert_notify",
                condition=Q(notify_at__isnull=False),
            ),
            models.Index(fields=["closed_at"], name="sisy_alert_closed"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.name}"

    @property
    def name(self) -> str:
        """The label of the task, or the queue or host that it is about."""
        return self.label or self.queue or self.subject.partition(":")[2]

    @property
    def is_about_queue(self) -> bool:
        """Return whether it is about a queue, and not about a task or a function."""
        return self.subject.startswith("queue:")

    @property
    def severity(self) -> Severity:
        """The severity, which depends only on the kind."""
        return severity_of(self.kind)

    @property
    def is_open(self) -> bool:
        """Return whether the problem is not over."""
        return self.open_key is not None

    def is_muted(self, now: datetime) -> bool:
        """Return whether no messages are sent about it at ``now``."""
        return self.muted_until is not None and self.muted_until > now

    def lasted(self, now: datetime) -> timedelta:
        """Return how long the problem has lasted, or lasted until it was over."""
        lasted: timedelta = (self.closed_at or now) - self.since
        return max(timedelta(0), lasted)
