"""A MariaDB of our own, from the system's package, on a socket in a short folder.

``python -m tests.servers.mariadb`` says which packages of Debian are missing, if any; with
``--names`` nothing but their names.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from urllib.parse import parse_qs, urlsplit

from tests.servers.database import DatabaseServer

PACKAGES = {
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "mariadb": "mariadb-client-core",
    "mariadb_config": "libmariadb-dev",
    "pkg-config": "pkg-config",
    "gcc": "gcc",
}
"""What the tests need, the last three to build mysqlclient, and where it comes from."""

PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def missing_packages() -> list[str]:
    missing = [name for program, name in PACKAGES.items() if not shutil.which(program, path=PATH)]
    return list(dict.fromkeys(missing))


class MariaDBServer(DatabaseServer):
    """MariaDB."""

    prefix, gentle, patience = "sisymy", signal.SIGTERM, 60

    def __init__(self, *, fsync: bool = False) -> None:
        super().__init__(fsync=fsync)
        self._socket = self._folder / "socket"

    @property
    def url(self) -> str:
        return f"mysql://root@/mysql?unix_socket={self._socket}"

    def __enter__(self) -> "MariaDBServer":
        if not (self._data / "mysql").exists():
            self._install()
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.crash()
        self._clear_away()

    def start(self) -> None:
        """Start it, and return when it answers."""
        options = [
            f"--socket={self._socket}",
            f"--pid-file={self._folder / 'pid'}",
            "--skip-networking",
            "--max-connections=200",
            "--character-set-server=utf8mb4",
            "--innodb-buffer-pool-size=64M",
        ]
        if not self._fsync:
            options += [
                "--innodb-flush-log-at-trx-commit=0",
                "--innodb-flush-method=nosync",
                "--innodb-file-per-table=0",
            ]
        self._launch(installed("mariadbd"), *self._common(), *options)
        deadline = time.monotonic() + self.patience
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(self._log)
            time.sleep(0.05)

    def crash(self) -> None:
        """End it as a crash would."""
        self.stop(signal.SIGKILL)

    def _answers(self) -> bool:
        asking = client_of(self.url, "mariadb", "--execute", "SELECT 1")
        return subprocess.run(asking, capture_output=True).returncode == 0

    def _install(self) -> None:
        options = ("--auth-root-authentication-method=normal", "--skip-test-db")
        self._run(installed("mariadb-install-db"), *self._common(), *options)

    def _common(self) -> list[str]:
        return ["--no-defaults", f"--datadir={self._data}", f"--tmpdir={self._folder}"]


def installed(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        raise RuntimeError(f"{name} is missing; on Debian: apt install {PACKAGES[name]}")
    return found


def client_of(url: str, program: str, *options: str) -> list[str]:
    """Return the command that has one of MariaDB's clients speak to the server at ``url``."""
    parts = urlsplit(url)
    [socket] = parse_qs(parts.query)["unix_socket"]
    return [installed(program), "--no-defaults", f"-u{parts.username}", f"-S{socket}", *options]


def main() -> int:
    missing = missing_packages()
    if "--names" in sys.argv:
        print(*missing)
    elif missing:
        print(
            "The tests on MariaDB need its server, and what it takes to build mysqlclient; "
            f"on Debian: apt install {' '.join(missing)}",
            file=sys.stderr,
        )
    return 2 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
