"""Functions that depend on other companies. Each has a problem, for people to find."""

import asyncio
from datetime import datetime
from typing import Any

from django.utils import timezone

MINUTES_DOWN, MINUTES_OF_A_ROUND = 2, 6
PRICES = ({"sku": "anvil-3000", "price": "49.90"}, {"sku": "magnet-12", "price": "7.25"})


def import_prices(message: dict[str, Any]) -> int:
    """Read the supplier's price list, and return how many prices it has."""
    print(f"Reading {len(PRICES)} rows of the price list")
    prices = {}
    for row in PRICES:
        prices[row["sku"]] = cents_of(row)
    return len(prices)


def cents_of(row: dict[str, str]) -> int:
    """Return the price in a row of the list."""
    # The supplier calls this column "price". So the function has failed since it was changed.
    return int(row["price_cents"])


def sync_stock(message: dict[str, Any]) -> str:
    """Ask the warehouse for its stock."""
    connect_to_warehouse()
    return "in sync"


def connect_to_warehouse() -> None:
    """Open a connection to the warehouse."""
    if is_warehouse_down(timezone.now()):
        raise ConnectionError("The warehouse does not accept connections.")


def is_warehouse_down(moment: datetime) -> bool:
    """Return whether the warehouse refuses connections: two minutes of every six."""
    return moment.minute % MINUTES_OF_A_ROUND < MINUTES_DOWN


async def send_newsletter(message: dict[str, Any]) -> None:
    """Send the newsletter through a mail service that does not answer."""
    print("Connecting to the mail service", flush=True)
    await asyncio.Event().wait()
