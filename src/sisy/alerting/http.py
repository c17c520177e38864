"""Send HTTP requests to addresses that people have configured.

An address is a secret, so no error contains it. A request takes a bounded time, whatever the
server does, and follows no redirect: it could lead to a host that is not configured.
"""

import http.client
import socket
import ssl
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import cache, partial
from typing import Any, Literal

from sisy.addresses import MAX_ADDRESS_LENGTH, problem_with_address
from sisy.exceptions import SisyError

TIMEOUT = 10.0  # seconds for a request


class NotDelivered(SisyError):
    """A server did not accept a request. The message says why, without the address.

    Attributes:
        status: the HTTP status of the answer; None if there was none.
    """

    def __init__(self, words: str, status: int | None = None) -> None:
        super().__init__(words)
        self.status = status


def send(
    address: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    method: Literal["GET", "POST"] = "POST",
    within: float = TIMEOUT,
) -> int:
    """Send a request, and return the status of the answer, which is 200 to 299.

    Args:
        within: the seconds after which the connection is closed.

    Raises:
        NotDelivered: there was another answer, or none, or the address is not valid.
    """
    # Code can store what no validator has seen, and urllib also opens files. The caller may have
    # added to the address.
    if wrong := problem_with_address("The address", address, longest=2 * MAX_ADDRESS_LENGTH):
        raise NotDelivered(wrong)
    with unseen_by_sentry():
        return _send(address, body, headers, method, within)


def _send(
    address: str,
    body: bytes,
    headers: Mapping[str, str] | None,
    method: str,
    within: float,
) -> int:
    request = urllib.request.Request(
        address,
        data=body if method == "POST" else None,
        headers={"User-Agent": "Sisy", **(headers or {})},
        method=method,
    )
    deadline = Deadline(within)
    try:
        with deadline, _opener(deadline).open(request, timeout=within) as answer:
            if not deadline.is_over:
                return int(answer.status)
            # The headers were cut off.
            raise TimeoutError
    except urllib.error.HTTPError as error:
        with error:
            raise NotDelivered(_in_words(error.code), error.code) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        if deadline.is_over or isinstance(_cause(error), TimeoutError):
            raise NotDelivered(f"There was no answer within {within:g} s") from None
        raise NotDelivered(f"The request failed: {_cause_in_words(error)}") from None


def unseen_by_sentry() -> AbstractContextManager[object]:
    """Keep addresses out of the breadcrumbs that Sentry's SDK would send with later errors."""
    if "sentry_sdk" not in sys.modules:
        return nullcontext()
    import sentry_sdk

    return sentry_sdk.isolation_scope()


class Deadline:
    """Closes the connections of a request that takes too long, in a ``with`` block."""

    # The timeout of a socket is for each read. A server that sends a byte now and then would hold
    # the request for hours.
    def __init__(self, seconds: float) -> None:
        self.is_over = False
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *args: object) -> None:
        self._timer.cancel()

    def watch(self, connected: socket.socket) -> None:
        """Close this socket when the time is over."""
        self._sockets.append(connected)
        if self.is_over:
            self._end()

    def _end(self) -> None:
        self.is_over = True
        for connected in self._sockets:
            with suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)


class _Connection(http.client.HTTPConnection):
    def __init__(self, *args: Any, deadline: Deadline, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline = deadline

    def connect(self) -> None:
        super().connect()
        self._deadline.watch(self.sock)


class _SecureConnection(_Connection, http.client.HTTPSConnection):
    pass


class _Handler(urllib.request.HTTPHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self._deadline = deadline

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(partial(_Connection, deadline=self._deadline), req)


class _SecureHandler(urllib.request.HTTPSHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__(context=_tls())
        self._deadline = deadline

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        connection = partial(_SecureConnection, deadline=self._deadline)
        return self.do_open(connection, req, context=_tls())


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Follow no redirect, so that the answer is an error."""


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _opener(deadline: Deadline) -> urllib.request.OpenerDirector:
    # It also uses the proxies that the environment names.
    return urllib.request.build_opener(_Handler(deadline), _SecureHandler(deadline), _NoRedirects)


def _in_words(status: int) -> str:
    # Not the server's own phrase, which may be anything.
    words = f"The server answered {status} {http.client.responses.get(status, '')}".rstrip()
    if 300 <= status < 400:
        return f"{words}. Configure the address to which it redirects"
    return words


def _cause(error: Exception) -> object:
    return error.reason if isinstance(error, urllib.error.URLError) else error


def _cause_in_words(error: Exception) -> str:
    cause = _cause(error)
    # Only messages of the operating system are known to contain no part of the address.
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    return type(cause).__name__
