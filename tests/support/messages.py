"""Messages of the outbox, as tests post them."""

from typing import Any

from sisy.alerting import outbox
from sisy.alerting.notice import Notice, payload_of
from sisy.models import Event, OutboxMessage
from tests.support.moments import HOUR, NOON

WHY = "3 runs in a row failed: KeyError: 'total'"


def notice(**changes: Any) -> Notice:
    """Return what there is to say about a failing task."""
    given = {"kind": "failing", "problem": "failing", "what": "invoices", "since": NOON}
    return Notice(**{**given, "why": WHY, **changes})


def message(event: Event = Event.OPENED, *notices: Notice, **columns: Any) -> OutboxMessage:
    """Return a message that is not stored."""
    payload = payload_of(notices or (() if event == Event.TEST else [notice()]))
    given = {"key": "alert-1", "channel": "email", "created_at": NOON}
    return OutboxMessage(event=event, payload=payload, **{**given, **columns})


def post(key: str = "alert-1", event: Event = Event.OPENED, channel: str = "", **changes: Any):
    """Store messages, and return them."""
    channels = [channel] if channel else None
    outbox.post("default", event, payload_of([notice(**changes)]), key, channels)
    return list(OutboxMessage.objects.filter(key=key))


def recovery(thread: str = "alert-1") -> Notice:
    """Return what there is to say about a task that works again."""
    return notice(ended_at=NOON + HOUR, thread=thread)
