"""``python -m tests.servers COMMAND …`` runs a command beside a PostgreSQL and a Valkey.

``python -m tests.servers --mariadb COMMAND …`` runs it beside a MariaDB and a Valkey. Those that
DATABASE_URL or VALKEY_URL name already are used as they are.
"""

import os
import subprocess
import sys
from contextlib import ExitStack

from tests.servers.mariadb import MariaDBServer
from tests.servers.postgres import PostgresServer
from tests.servers.valkey import ValkeyServer


def main(command: list[str]) -> int:
    database: type[PostgresServer | MariaDBServer] = PostgresServer
    if command[:1] == ["--mariadb"]:
        database, command = MariaDBServer, command[1:]
    environment = dict(os.environ)
    with ExitStack() as servers:
        if "DATABASE_URL" not in environment:
            environment["DATABASE_URL"] = servers.enter_context(database()).url
        if "VALKEY_URL" not in environment:
            environment["VALKEY_URL"] = servers.enter_context(ValkeyServer()).url
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
