"""The servers that tests bring along."""

import subprocess

import psycopg
import pytest
import redis

from tests.servers.mariadb import MariaDBServer, client_of, missing_packages
from tests.servers.postgres import PostgresServer
from tests.servers.valkey import ValkeyServer


def test_postgres_answers_also_after_a_restart_and_leaves_nothing_behind():
    with PostgresServer() as server:
        for _ in range(2):
            with psycopg.connect(server.url) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            server.stop()
            server.start()
    assert not server._folder.exists()


def test_valkey_answers_and_leaves_nothing_behind():
    with ValkeyServer() as server, redis.Redis.from_url(server.url) as client:
        assert client.ping()
    assert not server._folder.exists()


@pytest.mark.skipif(missing_packages(), reason="needs Debian's MariaDB: make test-mariadb")
def test_mariadb_answers_also_after_a_crash_and_leaves_nothing_behind():
    with MariaDBServer(fsync=True) as server:
        for _ in range(2):
            asking = client_of(server.url, "mariadb", "--batch", "--execute", "SELECT 1")
            assert subprocess.run(asking, capture_output=True).stdout == b"1\n1\n"
            server.crash()
            server.start()
    assert not server._folder.exists()
