"""The servers that tests bring along."""

import os
import shutil
import subprocess

import psycopg
import pytest
import redis

from tests.servers import postgres
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


@pytest.mark.skipif(os.getuid() != 0, reason="only root runs PostgreSQL as another user")
def test_postgres_starts_although_its_wheel_is_in_a_private_folder(tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for part in (postgres.PROGRAMS, postgres.LIBRARIES):
        shutil.copytree(postgres.packages() / part, closed / part, symlinks=True)
    monkeypatch.setattr(postgres, "packages", lambda: closed)
    with PostgresServer() as server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
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
