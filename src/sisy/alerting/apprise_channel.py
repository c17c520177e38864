"""Messages to any service that Apprise knows: Slack, Teams, PagerDuty and many others."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sisy.alerting.delivery import NotDelivered, without_secrets
from sisy.alerting.http import unseen_by_sentry
from sisy.alerting.text import text_of
from sisy.models.outbox import OutboxMessage
from sisy.records.choices import Event
from sisy.runtime.user_errors import name_of

MISSING = "Apprise is not installed. Install sisy[notify]."
INVALID = "Apprise does not accept its address."
LOGGERS = ("apprise", "urllib3.connectionpool", "urllib3.util.retry")
"""The loggers that write addresses, with the secrets in them."""


class AppriseChannel:
    """Sends messages to an address of Apprise."""

    def __init__(self, address: str) -> None:
        self._address = address

    def send(self, message: OutboxMessage) -> None:
        """Send a message as text.

        Raises:
            NotDelivered: the service did not accept it, the address is not valid, or Apprise is
                not installed.
        """
        service = _service_at(self._address)
        text = text_of(message)
        kind = "success" if message.event == Event.RECOVERED else "failure"
        if message.event == Event.TEST:
            kind = "info"
        with unseen_by_sentry(), _captured_log() as lines:
            try:
                was_accepted = service.notify(
                    title=text.subject, body=text.plain, notify_type=kind, body_format="text"
                )
            except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
                # Not its words, which may contain the address.
                raise NotDelivered(f"Apprise raised {name_of(error)}") from None
        if not was_accepted:
            words = "; ".join(lines) or "the service did not accept the message"
            raise NotDelivered(f"Apprise: {without_secrets(words, self._address)}")


def problem_with(address: str) -> str:
    """Return why nothing can be sent to an address; empty if it seems valid."""
    try:
        _service_at(address)
    except NotDelivered as error:
        return str(error)
    return ""


def _service_at(address: str) -> Any:
    try:
        import apprise
    except ImportError:
        raise NotDelivered(MISSING) from None
    # Older versions do not pass the context, by which log lines are filtered, to other threads.
    asset = apprise.AppriseAsset(app_id="Sisy", app_desc="Sisy", async_mode=False)
    service = apprise.Apprise(asset=asset)
    with _captured_log():
        is_valid = service.add(address)
    if not is_valid:
        raise NotDelivered(INVALID)
    return service


@contextmanager
def _captured_log() -> Iterator[list[str]]:
    """Keep the log lines of a delivery out of the project's log, and return its warnings."""
    lines: list[str] = []

    def listen(record: logging.LogRecord) -> bool:
        # Not by the thread: Apprise may use others, to which it passes the context.
        if _delivery.get() is not lines:
            return True
        if record.levelno >= logging.WARNING:
            lines.append(record.getMessage())
        return False

    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(listen)
    token = _delivery.set(lines)
    try:
        yield lines
    finally:
        _delivery.reset(token)
        for logger in loggers:
            logger.removeFilter(listen)


_delivery: ContextVar[list[str] | None] = ContextVar("sisy.delivery", default=None)
