"""Store messages in the outbox, in the transaction that causes them.

A message exists if and only if the change that it reports was committed. The heartbeats send it
afterwards, from a thread of its own.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sisy import clock
from sisy.alerting.channels import routed
from sisy.models.outbox import OutboxMessage
from sisy.records.choices import Event


def post(
    using: str,
    event: Event,
    payload: Mapping[str, Any],
    key: str,
    channels: Iterable[str] | None = None,
    now: datetime | None = None,
) -> None:
    """Store a message to each channel. A key that was posted before is ignored.

    Call it in the transaction of the change that the message reports.

    Args:
        payload: all that is needed to write the message, as JSON, without secrets. For alerts, it
            is `sisy.alerting.notice.payload_of`.
        key: identifies the message to its receivers, with 1 to 200 characters.
        channels: the names of channels; by default, those of ``SISY_ALERTS`` that want messages
            about these tasks and queues.
        now: the moment of the event; by default, the current time.
    """
    created_at = now or clock.last_known(using)
    if channels is None:
        routes = list(routed(payload))
    else:
        routes = [(name, payload) for name in dict.fromkeys(channels)]
    messages = [
        OutboxMessage(
            key=key,
            channel=name,
            event=event,
            payload=dict(content),
            created_at=created_at,
            next_attempt_at=created_at,
        )
        for name, content in routes
    ]
    if messages:
        OutboxMessage.objects.using(using).bulk_create(messages, ignore_conflicts=True)
