"""The database and the layer on which the fleet runs, and how to break them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import redis
from django.db import DatabaseError, InterfaceError, connections

from tests.chaos import moments
from tests.chaos.drops import Orders
from tests.chaos.evidence import Span
from tests.chaos.snapshots import Snapshots
from tests.servers.valkey import ValkeyServer

NAME = "chaos"
JUNK = 150  # more than the layer's capacity of 100

PICK_ONE = {
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
    "AND pid NOT IN (pg_backend_pid(), %s) ORDER BY random() LIMIT 1",
    "mysql": "SELECT id FROM information_schema.processlist WHERE user <> 'system user' "
    "AND id NOT IN (connection_id(), %s) ORDER BY rand() LIMIT 1",
}
"""A connection of the fleet, if possible: neither this one nor the one with the snapshot."""

BREAK_IT = {"postgresql": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}


class Ground:
    """A server, when it was down, and the connections that were broken.

    Attributes:
        broken: when any connection was broken, from outside.
        orders: lets processes break their own connections at a statement.
    """

    def __init__(self, database, layer: ValkeyServer | None, orders: Orders) -> None:
        self.database = database
        self.layer = layer
        self.orders = orders
        self.snapshots = Snapshots()
        self.outages: list[Span] = []
        self.broken: list[float] = []
        self._down_since: float | None = None

    def stop(self, what: str, how: str) -> None:
        if what == "layer":
            self.layer.stop()
        elif self._down_since is None:
            self._down_since = moments.now()
            connections.close_all()
            self.database.stop(getattr(signal, f"SIG{how}"))

    def start(self, what: str) -> None:
        if what == "layer":
            self.layer.stop()
            self.layer.start()
        elif self._down_since is not None:
            self.database.start()
            self.outages.append((self._down_since, moments.now()))
            self._down_since = None

    def failed_since(self, moment: float) -> bool:
        """Whether the database was away, or broke connections, at some time since then."""
        is_down = self._down_since is not None
        return (
            is_down
            or any(end >= moment - 1 for _, end in self.outages)
            or any(at >= moment - 1 for at in self.broken)
            or any(drop.at >= moment - 1 for drop in self.orders.drops())
        )

    def heal(self) -> None:
        self.orders.withdraw()
        self.snapshots.release()
        self.start("database")
        if self.layer is not None:
            self.start("layer")

    def break_a_connection(self) -> None:
        connection = connections["default"]
        try:
            with connection.cursor() as cursor:
                cursor.execute(PICK_ONE[connection.vendor], [self.snapshots.backend])
                if row := cursor.fetchone():
                    cursor.execute(BREAK_IT[connection.vendor], row)
                    self.broken.append(moments.now())
        except (DatabaseError, InterfaceError):
            connections.close_all()

    def flush(self) -> None:
        with suppress(redis.RedisError), redis.Redis.from_url(self.layer.url) as client:
            client.flushall()

    def flood(self) -> None:
        """Fill the default queue's channel with what no layer can read, beyond its capacity."""
        key = f"{NAME}sisy.run_task"
        with suppress(redis.RedisError), redis.Redis.from_url(self.layer.url) as client:
            client.zadd(key, {os.urandom(40): moments.now() for _ in range(JUNK)})


@contextmanager
def opened(database: str, layer: str, folder: Path) -> Iterator[Ground]:
    """Start the servers, and name them in this process's environment, for Django and children."""
    server = valkey = None
    os.environ["SISY_TEST_DB"] = NAME
    for name in ("DATABASE_URL", "VALKEY_URL"):
        os.environ.pop(name, None)
    try:
        if database == "sqlite":
            os.environ["SISY_TEST_FOLDER"] = str(folder)
        else:
            server = _server(database)
            server.__enter__()
            os.environ["DATABASE_URL"] = _url(database, server)
        if layer == "valkey":
            valkey = ValkeyServer()
            os.environ["VALKEY_URL"] = valkey.__enter__().url
        yield Ground(server, valkey, Orders(folder / "drops"))
    finally:
        for started in (valkey, server):
            if started is not None:
                started.__exit__(None, None, None)


def _server(database: str):
    """Return a server that keeps what was committed, also if it is killed."""
    if database == "mariadb":
        from tests.servers.mariadb import MariaDBServer

        return MariaDBServer(fsync=True)
    from tests.servers.postgres import PostgresServer

    return PostgresServer(fsync=True)


def _url(database: str, server) -> str:
    """Return the URL of a database of its own where the server's has the server's own tables."""
    if database != "mariadb":
        return server.url
    from tests.servers.mariadb import client_of

    create = f"CREATE DATABASE {NAME}"
    subprocess.run(client_of(server.url, "mariadb", "--execute", create), check=True)
    return urlunsplit(urlsplit(server.url)._replace(path=f"/{NAME}"))
