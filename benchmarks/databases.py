"""The databases on which benchmarks run: a server that a benchmark starts itself, or a file."""

import argparse
import os
import re
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from django.core.management.color import no_style
from django.db import connection
from tests import settings
from tests.processes import databases
from tests.processes.site import Site
from tests.servers import mariadb, postgres
from tests.servers.mariadb import MariaDBServer
from tests.servers.postgres import PostgresServer
from tests.servers.valkey import ValkeyServer

POSTGRES, MARIADB, SQLITE = "postgres", "mariadb", "sqlite"
NAMES = {POSTGRES: "PostgreSQL", MARIADB: "MariaDB", SQLITE: "SQLite"}
LEARN = {"postgresql": "VACUUM ANALYZE", "mysql": "ANALYZE TABLE {tables}"}
"""What lets a server count its rows. SQLite never does that by itself."""

TEMPLATE = "SISY_BENCH_TEMPLATE"
"""The variable of the environment that names the data of a `template`."""

Server = TypeVar("Server", PostgresServer, MariaDBServer, ValkeyServer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A database that is up, for processes and for the models of this process.

    Attributes:
        environment: the variables that tell the processes of a site where it is.
        settings: Django's, for this process.
        is_migrated: whether it is a copy of a `template`.
    """

    environment: dict[str, str]
    settings: dict[str, Any]
    is_migrated: bool = False


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--db", choices=NAMES, default=POSTGRES, help="which database (default: postgres)"
    )


def judged(bars: Mapping[str, float], name: str) -> Mapping[str, float]:
    """Return the bars that apply to a database. They were set for PostgreSQL."""
    return bars if name == POSTGRES else {}


def opened(stack: ExitStack, name: str, folder: Path, *, counts_statements: bool) -> Opened:
    """Start a server that keeps what was committed; ``stack`` stops it in the end.

    Args:
        folder: for the file of SQLite.
        counts_statements: whether PostgreSQL is to count them.
    """
    if name == SQLITE:
        return Opened(
            environment=databases.on_sqlite(folder), settings=databases.sqlite_settings(folder)
        )
    if name == MARIADB:
        server = started(stack, MariaDBServer(fsync=True))
        # The server's own database has tables of its own.
        url = stack.enter_context(databases.mariadb_database(server.url, "sisybench"))
    else:
        postgresql = PostgresServer(fsync=True, counts_statements=counts_statements)
        if TEMPLATE in os.environ:
            postgresql.copy(Path(os.environ[TEMPLATE]))
        url = started(stack, postgresql).url
    is_migrated = name == POSTGRES and TEMPLATE in os.environ
    return Opened(
        environment={"DATABASE_URL": url}, settings=settings.database(url), is_migrated=is_migrated
    )


def template(stack: ExitStack) -> Path:
    """Return the data of a PostgreSQL that was migrated, and stopped.

    Quick looks start from copies of it: most of their time would go into migrations.
    """
    server = started(stack, PostgresServer())
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="sisybench")))
    databases.migrate(Site(folder, {"DATABASE_URL": server.url}))
    server.stop()
    return server.data


def started(stack: ExitStack, server: Server) -> Server:
    stack.push(server)  # before it starts: a start that is interrupted leaves nothing behind, too
    return server.__enter__()


def learn() -> None:
    """Let the database count its rows now. Servers do so by themselves after many changes."""
    if connection.vendor in LEARN:
        with connection.cursor() as cursor:
            tables = ", ".join(connection.introspection.table_names(cursor))
            cursor.execute(LEARN[connection.vendor].format(tables=tables))


def empty(*prefixes: str) -> None:
    """Delete all rows of the tables whose names begin with one of these prefixes."""
    names = [name for name in connection.introspection.table_names() if name.startswith(prefixes)]
    statements = connection.ops.sql_flush(
        no_style(), names, reset_sequences=True, allow_cascade=True
    )
    connection.ops.execute_sql_flush(statements)


def described(name: str) -> str:
    """Return the version of a database, and when it waits for the disk."""
    if name == SQLITE:
        return f"SQLite {sqlite3.sqlite_version} (WAL, synchronous = NORMAL)"
    if name == MARIADB:
        server = mariadb.installed("mariadbd")
        return f"MariaDB {version_of(server)} (innodb_flush_log_at_trx_commit = 1)"
    server = postgres.packages() / postgres.PROGRAMS / "bin" / "postgres"
    return f"PostgreSQL {version_of(server)} (fsync on)"


def version_of(program: str | Path) -> str:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return re.findall(r"\d+(?:\.\d+)+", said.stdout)[0]
