"""Sentry's own SDK, with a transport that keeps what would be sent."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.integrations.threading import ThreadingIntegration
from sentry_sdk.transport import Transport

from sisy.runtime import signal_dispatch

DSN = "https://public@sentry.invalid/1"


class KeepingTransport(Transport):
    """Keeps envelopes.

    Attributes:
        error: what it raises instead, if that is set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.items: list[dict[str, Any]] = []
        self.error: BaseException | None = None

    def capture_envelope(self, envelope: Envelope) -> None:
        if self.error is not None:
            raise self.error
        self.items += [item.payload.json for item in envelope.items]

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the errors and messages so far."""
        signal_dispatch.flush(10)
        return [item for item in self.items if "check_in_id" not in item]

    @property
    def check_ins(self) -> list[dict[str, Any]]:
        """Return the check-ins so far."""
        signal_dispatch.flush(10)
        return [item for item in self.items if "check_in_id" in item]


@contextmanager
def sentry_active(dsn: str | None = DSN, **options: Any) -> Iterator[KeepingTransport]:
    """Let the SDK be active in this process."""
    transport = KeepingTransport()
    before = sentry_sdk.get_global_scope().client
    sentry_sdk.init(
        dsn=dsn,
        transport=transport,
        default_integrations=False,
        integrations=[LoggingIntegration(), DedupeIntegration(), ThreadingIntegration()],
        **options,
    )
    try:
        yield transport
    finally:
        signal_dispatch.flush(10)
        sentry_sdk.get_global_scope().set_client(before)


@contextmanager
def breadcrumbs_of_requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeepingTransport]:
    """Let the SDK be active, and add a breadcrumb for each request, as it does by default."""
    put = http.client.HTTPConnection.putrequest

    def putrequest(self: Any, method: str, url: str, *args: Any, **options: Any) -> None:
        sentry_sdk.add_breadcrumb(message=url)
        put(self, method, url, *args, **options)

    # Not by its own integration, which would stay in this process.
    monkeypatch.setattr(http.client.HTTPConnection, "putrequest", putrequest)
    with sentry_active() as transport:
        yield transport
