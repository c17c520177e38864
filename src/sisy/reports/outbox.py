"""The messages that could not be sent, or not yet."""

from dataclasses import dataclass
from datetime import datetime

from sisy.alerting.text import subject_of
from sisy.models import OutboxMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Undelivered:
    """A message that was not delivered at its first attempt.

    Attributes:
        next_attempt: when it is tried again; None if it is a dead letter.
    """

    pk: int
    channel: str
    subject: str
    created_at: datetime
    attempts: int
    next_attempt: datetime | None
    error: str

    @property
    def is_dead(self) -> bool:
        """Return whether it is not tried again."""
        return self.next_attempt is None


def undelivered(using: str, limit: int) -> list[Undelivered]:
    """Return dead letters and messages that are tried again, the newest first."""
    rows = OutboxMessage.objects.using(using)
    failed = rows.unsent().exclude(error="") | rows.dead()
    return [
        Undelivered(
            pk=message.pk,
            channel=message.channel,
            subject=subject_of(message),
            created_at=message.created_at,
            attempts=message.attempts,
            next_attempt=message.next_attempt_at,
            error=message.error,
        )
        for message in failed.order_by("-pk")[:limit]
    ]


def dead_letters(using: str) -> int:
    """Return the number of messages that could not be sent."""
    return OutboxMessage.objects.using(using).dead().count()
