"""Messages as signed JSON to a webhook, by the Standard Webhooks specification.

Source: https://www.standardwebhooks.com. The signature covers the key of the message, the time and
the body, so a receiver can reject what is forged, changed or replayed. The key is the same at each
attempt, so it can drop what it has accepted before.
"""

import base64
import binascii
import hashlib
import hmac
import json
from datetime import datetime
from urllib.parse import quote

from django.db import router

from sisy import clock, conf
from sisy.alerting import http
from sisy.alerting.delivery import NotDelivered
from sisy.alerting.links import link_of
from sisy.alerting.notice import notices_in
from sisy.alerting.text import text_of
from sisy.models.outbox import OutboxMessage

SECRET_PREFIX = "whsec_"


class WebhookChannel:
    """Sends messages to an address."""

    def __init__(self, address: str) -> None:
        self._address = address

    def send(self, message: OutboxMessage) -> None:
        """Send a message as signed JSON.

        Raises:
            NotDelivered: the server did not answer 200 to 299 in time, or there is no secret.
        """
        secret = conf.get_settings().webhook_secret
        if not secret:
            raise NotDelivered("SISY_WEBHOOK_SECRET is not set, so the message cannot be signed.")
        body = body_of(message)
        headers = headers_of(
            message.key, body, secret, clock.last_known(router.db_for_write(OutboxMessage))
        )
        http.send(self._address, body, headers)


def body_of(message: OutboxMessage) -> bytes:
    """Return a message as JSON."""
    text = text_of(message)
    notices = notices_in(message.payload)
    return json.dumps(
        {
            "event": message.event,
            "key": message.key,
            "created_at": message.created_at.isoformat(),
            "subject": text.subject,
            "text": text.plain,
            "alerts": [notice.as_json() | {"link": link_of(notice)} for notice in notices],
        }
    ).encode()


def headers_of(key: str, body: bytes, secret: str, now: datetime) -> dict[str, str]:
    """Return the headers with which a receiver verifies a message."""
    # A key may contain any text, and a header only ASCII.
    name, timestamp = quote(key, safe=""), str(int(now.timestamp()))
    return {
        "Content-Type": "application/json",
        "Idempotency-Key": name,
        "webhook-id": name,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{signature(name, timestamp, body, secret)}",
    }


def signature(name: str, timestamp: str, body: bytes, secret: str) -> str:
    """Return the HMAC-SHA256 of a message in base64."""
    signed = b".".join((name.encode(), timestamp.encode(), body))
    digest = hmac.new(_bytes_of(secret), signed, hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def _bytes_of(secret: str) -> bytes:
    """Return the bytes of a secret: by the specification, it is base64 after ``whsec_``."""
    if secret.startswith(SECRET_PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
        except binascii.Error:
            raise NotDelivered("SISY_WEBHOOK_SECRET is not base64 after 'whsec_'.") from None
    return secret.encode()
