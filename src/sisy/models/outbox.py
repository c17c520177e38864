"""The outbox: messages to people and to other services, until they are sent."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from sisy.addresses import MAX_ADDRESS_LENGTH
from sisy.records.choices import Event
from sisy.records.fields import MomentField, ReasonField
from sisy.records.twins import manager_from

LONGEST_WAIT = timedelta(hours=2)  # for the next attempt; an hour is the longest delay


class OutboxQuerySet(models.QuerySet["OutboxMessage"]):
    def unsent(self) -> "OutboxQuerySet":
        """Return the messages that are still to be sent, including those that are tried again."""
        return self.exclude(next_attempt_at=None)

    def due(self, now: datetime) -> "OutboxQuerySet":
        """Return the messages that a sender may claim now."""
        # A moment that is further away was set before the clock was set back.
        return self.filter(Q(next_attempt_at__lte=now) | Q(next_attempt_at__gt=now + LONGEST_WAIT))

    def dead(self) -> "OutboxQuerySet":
        """Return the messages that could not be sent, and are not tried again."""
        return self.exclude(failed_at=None)


if TYPE_CHECKING:

    class OutboxManager(OutboxQuerySet, models.Manager["OutboxMessage"]):  # type: ignore[misc]
        """The query set's methods, for type checkers."""
else:
    OutboxManager = manager_from(OutboxQuerySet)


class OutboxMessage(models.Model):
    """A message that is stored in the transaction that causes it, and sent afterwards.

    Each channel gets a row of its own. The key is the same on the wire at each attempt, so that a
    receiver can drop a message that it has accepted before.
    """

    key = models.CharField(
        _("key"),
        max_length=200,
        help_text=_("Identifies the message to its receiver, however often it is sent."),
    )
    # The name, never the address: an address may contain a secret.
    channel = models.CharField(_("channel"), max_length=60)
    # Not in the payload, which is shown with messages that could not be sent.
    address = models.CharField(
        _("address"),
        max_length=MAX_ADDRESS_LENGTH,
        blank=True,
        default="",
        editable=False,
        help_text=_("The secret address to which a ping is sent. Other channels have their own."),
    )
    event = models.CharField(_("event"), max_length=20, choices=Event)
    payload = models.JSONField(_("payload"), default=dict)
    created_at = MomentField(_("created"))
    # A sender that claims the message moves it past the time that sending may take. If the sender
    # dies, the message is due again then.
    next_attempt_at = MomentField(
        _("next attempt"),
        null=True,
        help_text=_("When a sender may claim it. Empty if it was sent or could not be sent."),
    )
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    sent_at = MomentField(_("sent"), null=True)
    failed_at = MomentField(
        _("failed"), null=True, help_text=_("When the last attempt failed. It is not tried again.")
    )
    error = ReasonField(_("error"), max_length=500, blank=True)

    objects: ClassVar["OutboxManager"] = OutboxManager()

    class Meta:
        db_table = "sisy_outbox"
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["key", "channel"], name="sisy_outbox_once"),
        ]
        indexes = [
            # Each of these columns is empty in most rows, or is the end of a range.
            models.Index(fields=["next_attempt_at"], name="sisy_outbox_next"),
            models.Index(fields=["sent_at"], name="sisy_outbox_sent"),
            models.Index(fields=["failed_at"], name="sisy_outbox_failed"),
        ]

    def __str__(self) -> str:
        return f"{self.get_event_display()}: {self.key} ({self.channel})"
