"""A port for a server under test, and its pages."""

import socket
import urllib.error
import urllib.request


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
