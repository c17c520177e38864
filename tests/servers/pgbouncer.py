"""A PgBouncer (Debian's) in transaction mode before a PostgreSQL of ours, on a socket."""

import shutil
import signal
import time
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import psycopg

from tests.servers.database import DatabaseServer

PORT = 6432


def binary() -> str | None:
    """Return the path of PgBouncer, which systems keep where not everybody looks; None if away."""
    return shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


class PgBouncerServer(DatabaseServer):
    """PgBouncer.

    Args:
        url: of the database on PostgreSQL.
        server_connections: how many it opens there; clients take turns.
    """

    prefix, gentle, patience = "sisybnc", signal.SIGINT, 15

    def __init__(self, url: str, *, server_connections: int = 2) -> None:
        super().__init__()
        parts = urlsplit(url)
        self._name = unquote(parts.path[1:])
        self._upstream = parse_qs(parts.query)["host"][0]
        self._size = server_connections

    @property
    def url(self) -> str:
        return f"postgresql://postgres@:{PORT}/{self._name}?host={self._folder}"

    @property
    def folder(self) -> Path:
        """The folder of its socket, which is the host for drivers."""
        return self._folder

    def __enter__(self) -> "PgBouncerServer":
        program = binary()
        assert program is not None, "PgBouncer is not installed"
        settings = self._folder / "pgbouncer.ini"
        settings.write_text(
            "[databases]\n"
            f"* = host={self._upstream} user=postgres\n"
            "[pgbouncer]\n"
            "listen_addr =\n"
            f"listen_port = {PORT}\n"
            f"unix_socket_dir = {self._folder}\n"
            "auth_type = any\n"
            "pool_mode = transaction\n"
            f"default_pool_size = {self._size}\n"
        )
        self._launch(program, settings)
        deadline = time.monotonic() + self.patience
        while True:
            try:
                psycopg.connect(
                    host=str(self._folder), port=PORT, dbname=self._name, user="postgres"
                ).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(f"{error}\n{self._log}") from None
                time.sleep(0.05)
            else:
                return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self._clear_away()
