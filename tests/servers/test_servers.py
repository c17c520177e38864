"""The servers that tests bring along."""

import psycopg
import redis

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
