"""A port for a server under test, and its pages."""

import http.client
import socket
import urllib.error
import urllib.request
from contextlib import closing


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def page(port: str, path: str = "/") -> str:
    """Return what the server answers, or nothing if it does not yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.read().decode()
    except urllib.error.URLError:
        return ""


def status_of_websocket(port: str, path: str) -> int:
    """Return the status with which the server answers a WebSocket's handshake."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Origin": f"http://127.0.0.1:{port}",
    }
    with closing(connection):
        connection.request("GET", path, headers=headers)
        return connection.getresponse().status
