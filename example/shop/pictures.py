"""The pictures of the catalogue."""

import errno
import os
from typing import Any

from shop import jobs

SIZE = 400_000  # bytes of a thumbnail


async def resize(message: dict[str, Any]) -> dict[str, int]:
    """Make a thumbnail of each new picture."""
    save_thumbnail("anvil-3000.webp")
    return await jobs.work(message)


def save_thumbnail(name: str) -> None:
    """Save a thumbnail, unless the disk is full."""
    if free_bytes() < SIZE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), f"/srv/shop/thumbnails/{name}")


def free_bytes() -> int:
    """Return how much room is left on the disk of the shop."""
    return 10 * SIZE
