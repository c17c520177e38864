"""Functions with problems, about which the demo's mails tell."""

import asyncio
import random
from typing import Any

from django.utils import timezone

MINUTES_OF_TROUBLE = 2
MINUTES_OF_A_ROUND = 6


class PriceListUnavailable(Exception):
    """The supplier of the demo's prices does not answer."""


def import_prices(message: dict[str, Any]) -> str:
    """Fail now and then, which a later attempt repairs."""
    if random.random() < 0.2:
        raise PriceListUnavailable("The supplier answered 503.")
    return "imported"


def sync_stock(message: dict[str, Any]) -> str:
    """Fail for two minutes, then succeed for four."""
    if timezone.now().minute % MINUTES_OF_A_ROUND < MINUTES_OF_TROUBLE:
        raise ConnectionError("The warehouse does not accept connections.")
    return "in sync"


async def send_newsletter(message: dict[str, Any]) -> str:
    """Hang until the timeout of the task, every other time."""
    minute = message["message"]["ts"] // 60
    if minute // MINUTES_OF_TROUBLE % 2 == 0:
        await asyncio.Event().wait()
    return "sent"
