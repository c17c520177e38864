"""Send a test message through a channel, now and without the outbox."""

import uuid
from datetime import datetime
from functools import partial

from sisy.alerting.channels import channel_named
from sisy.alerting.delivery import NotDelivered
from sisy.alerting.sending import attempt
from sisy.models.outbox import OutboxMessage
from sisy.records.choices import Event


def try_channel(name: str, now: datetime) -> NotDelivered | None:
    """Send a test message. Return the error if it was not delivered."""
    message = OutboxMessage(
        key=f"test-{uuid.uuid4()}", channel=name, event=Event.TEST, created_at=now
    )
    return attempt(partial(channel_named, name), message)
