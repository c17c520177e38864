"""LISTEN and NOTIFY in tests: turned on for the test's process, and heard beside Sisy."""

import os
import time
from contextlib import contextmanager

import psycopg
import pytest
from django.db import connection

from sisy.messaging import carriers, doorbell, heartbeat_bell, messages
from sisy.messaging.carriers import Pace

on_postgresql = pytest.mark.skipif(
    not os.environ.get("DATABASE_URL", "").startswith("postgresql"),
    reason="LISTEN and NOTIFY are PostgreSQL's: make test-postgres",
)


@pytest.fixture
def notifying(settings, monkeypatch):
    """Let the test's process have no layer, and notify as processes outside of tests do."""
    settings.CHANNEL_LAYERS = {}
    monkeypatch.setattr(carriers, "is_in_a_test_run", lambda: False)
    monkeypatch.setattr(carriers, "EXIT_TIMEOUT", 30)
    monkeypatch.setattr(doorbell, "_paces", {})
    monkeypatch.setattr(heartbeat_bell, "_pace", Pace(heartbeat_bell.RING_INTERVAL))
    yield
    carriers.close()


def connected():
    """Return a connection to the test's database that is neither Django's nor Sisy's."""
    options = connection.get_connection_params()
    known = {name: options[name] for name in ("dbname", "user", "host", "port") if name in options}
    return psycopg.connect(**known, autocommit=True)


class Ear:
    """Hears what is notified on some channels."""

    def __init__(self, session, *channels):
        self._session = session
        for channel in channels:
            session.execute(f'LISTEN "{messages.notify_name(channel)}"')

    def next(self, count=1, patience=60):
        """Return the next notices, as pairs of a channel and a message."""
        notices = list(self._session.notifies(timeout=patience, stop_after=count))
        assert len(notices) >= count, f"heard only {notices}"
        return [(one.channel, messages.from_payload(one.payload)) for one in notices]

    def all(self, seconds):
        """Return the notices of the next seconds."""
        return list(self._session.notifies(timeout=seconds))


@contextmanager
def ear(*channels):
    with connected() as session:
        yield Ear(session, *channels)


def notify(channel, message):
    """Notify as another process would."""
    with connected() as session:
        name, payload = messages.notify_name(channel), messages.to_payload(message)
        session.execute("SELECT pg_notify(%s, %s)", [name, payload])


def sessions_of_posts():
    """Return the pids of the sessions that listen or have notified, other than those of tests."""
    with connected() as session:
        rows = session.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            "AND (query LIKE '%%pg_notify(%%' OR query LIKE '%%LISTEN%%') "
            "AND pid <> pg_backend_pid() AND query NOT LIKE '%%pg_stat_activity%%'"
        )
        return [pid for (pid,) in rows]


def end_sessions(pids):
    """End sessions as an administrator would, and wait for their end."""
    with connected() as session:
        for pid in pids:
            session.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])
        deadline = time.monotonic() + 10
        alive = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)"
        while session.execute(alive, [pids]).fetchone()[0] and time.monotonic() < deadline:
            time.sleep(0.01)
