"""Messages that are created just before they are sent.

A failure to create one is an error in Sisy, for example about a row that is gone. It is logged and
dropped. It does not count as an outage of the carrier, and it is not tried again, because the
messages behind it would wait.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sisy.runtime.log import logger

T = TypeVar("T")

Make = Callable[[], Mapping[str, Any]]
"""Returns the message, when it is about to be sent."""


@dataclass(slots=True)
class PendingMessage:
    """A message that is waiting to be sent, at a moment of the monotonic clock.

    Attributes:
        sent: done when it was sent, or dropped because it cannot be created.
    """

    make: Make
    send_at: float
    sent: "Future[None]" = field(default_factory=Future)


def made(address: str, make: Make, form: Callable[[Mapping[str, Any]], T]) -> T | None:
    """Return a message in the form in which it is sent; None if it cannot be created."""
    try:
        return form(make())
    except Exception:  # noqa: BLE001 - the border around our own steps
        logger.exception("Could not create a message for %s; dropping it", address)
        return None
