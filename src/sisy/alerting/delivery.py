"""The failure to deliver a message, in words without secrets."""

import re
from urllib.parse import unquote

from sisy.alerting.http import NotDelivered as NotDelivered

HIDDEN = "•••"
SHORTEST_SECRET = 4
PARTS = re.compile(r"[/:@?&=#,]+")


def without_secrets(words: str, *secrets: str) -> str:
    """Return ``words`` with each secret, and each part of an address, replaced."""
    parts = set(secrets)
    for secret in secrets:
        # The scheme of an address is not secret.
        parts.update(PARTS.split(secret.rpartition("://")[2]))
    parts |= {unquote(part) for part in parts}
    # The longest first: a part may be contained in another.
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= SHORTEST_SECRET:
            words = words.replace(part, HIDDEN)
    return words
