"""A local HTTP server that records what arrives, and answers as a test wants."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.waiting import wait_until

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True, slots=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def status(code: int, **headers: str) -> Answer:
    """Answer with this status."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


OK = status(200)


class HttpServer:
    """Records requests.

    Attributes:
        received: the requests, in the order of their arrival.
        answer: what the server does next; by default, it answers 200.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.received: list[Received] = []
        self.answer: Answer = OK
        self.is_over = threading.Event()

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.received]

    def gets(self, count: int) -> list[Received]:
        """Wait for so many requests, and return them."""
        wait_until(lambda: len(self.received) >= count, f"{count} requests have arrived")
        return self.received[:count]

    def hangs(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer nothing until the server ends."""
        self.is_over.wait(60)

    def drips(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one byte of a header now and then, until the server ends."""
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        try:
            while not self.is_over.wait(0.05):
                handler.wfile.write(b"x")
                handler.wfile.flush()
        except OSError:
            return


@contextmanager
def http_server(port: int = 0) -> Iterator[HttpServer]:
    """Run a server on this host, by default on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.received.append(
                Received(self.command, self.path, dict(self.headers.items()), body)
            )
            server.answer(self)

        do_GET = do_POST = do  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

    serving = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    serving.daemon_threads = True
    server = HttpServer(serving.server_port)
    thread = threading.Thread(target=serving.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.is_over.set()
        serving.shutdown()
        serving.server_close()
        thread.join(10)
