"""A site behind PgBouncer in transaction mode, whose sessions many clients share."""

import asyncio
import os
from contextlib import ExitStack

import psycopg
import pytest
from django.db import connection, connections, transaction

from sisy import conf
from sisy.models import Process, Run, RunState, Task, task_with_callable
from sisy.store.database_thread import DatabaseThread
from sisy.store.sessions import PREPARED_AFTER
from tests.app import jobs
from tests.processes.databases import open_site
from tests.processes.ledger import assert_each_run_was_executed_once, count
from tests.servers import pgbouncer
from tests.servers.pgbouncer import PgBouncerServer
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("DATABASE_URL", "").startswith("postgresql"),
        reason="PgBouncer speaks to PostgreSQL: make test-postgres",
    ),
    pytest.mark.skipif(
        pgbouncer.binary() is None,
        reason="PgBouncer is not installed: apt-get install pgbouncer",
    ),
]

SESSIONS = 3  # that PgBouncer opens
TIMEOUT = "idle_in_transaction_session_timeout"
# PgBouncer itself sets these anew for each client.
TRACKED = ("TimeZone", "DateStyle", "client_encoding", "standard_conforming_strings")
LEFT = """
    SELECT 'setting ' || name FROM pg_settings WHERE source = 'session' AND name <> ALL(%s)
    UNION ALL SELECT 'prepared statement ' || name FROM pg_prepared_statements
    UNION ALL SELECT 'cursor ' || name FROM pg_cursors WHERE is_holdable
    UNION ALL SELECT 'lock ' || mode FROM pg_locks
        WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION ALL SELECT 'listens to ' || channel FROM pg_listening_channels() AS channel
    UNION ALL SELECT 'temporary table ' || relname FROM pg_class
        WHERE relpersistence = 't' AND pg_table_is_visible(oid)
"""


@pytest.fixture
def bouncer(fleet_database):
    with PgBouncerServer(fleet_database, server_connections=SESSIONS) as server:
        yield server


@pytest.fixture
def site(bouncer, tmp_path):
    with open_site(tmp_path, bouncer.url, os.environ["VALKEY_URL"]) as site:
        yield site


def left_on_sessions(bouncer):
    """Return what clients have left on each session of the server, by the session."""
    left = {}
    with ExitStack() as clients:
        for _ in range(SESSIONS):
            client = clients.enter_context(psycopg.connect(bouncer.url, prepare_threshold=None))
            pid = client.execute("SELECT pg_backend_pid()").fetchone()[0]
            left[pid] = [what for (what,) in client.execute(LEFT, [list(TRACKED)])]
    assert len(left) == SESSIONS  # each client holds one of its own, in its transaction
    return left


def in_roles_thread(*steps):
    """Return what steps return that a role takes in its thread, one after the other."""

    usual = connections["default"]

    def use_the_same_database():
        connections["default"] = type(usual)(usual.settings_dict, "default")

    async def take():
        database = DatabaseThread("test")
        try:
            await database.run(use_the_same_database)
            return [await database.run(step) for step in steps]
        finally:
            await database.close()

    return asyncio.run(take())


def shown():
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {TIMEOUT}")
        return cursor.fetchone()[0]


def shown_in_a_transaction():
    with transaction.atomic():
        return shown()


def test_behind_pgbouncer_each_occurrence_runs_once_and_sessions_stay_clean(site, bouncer):
    for fn in (jobs.record, jobs.arecord):
        task_with_callable(fn, schedule="* * * * * *", allow_overlap=True).save()
    processes = [site.manage("sisy_heartbeat"), site.manage("sisy_worker")]
    wait_until(lambda: count(RunState.SUCCEEDED) >= 6, "six runs have succeeded")
    Task.objects.update(timezone="Asia/Kathmandu")
    enough = count(RunState.SUCCEEDED) + 4
    wait_until(lambda: count(RunState.SUCCEEDED) >= enough, "four more runs have succeeded")
    assert [process.stop() for process in processes] == [0, 0]
    assert set(map(tuple, left_on_sessions(bouncer).values())) == {()}
    Run.objects.queued().delete()
    assert_each_run_was_executed_once()
    assert not Process.objects.exists()


def test_behind_pgbouncer_submissions_leave_no_prepared_statements(site, bouncer):
    for _ in range(3 * PREPARED_AFTER):
        Task.run_once(jobs.record)
        with transaction.atomic():
            Task.run_once(jobs.record).run_now()
    assert Run.objects.count() == 9 * PREPARED_AFTER
    assert set(map(tuple, left_on_sessions(bouncer).values())) == {()}


def test_behind_pgbouncer_a_worker_without_a_layer_polls_and_says_so_once(site, bouncer):
    site.set(CHANNEL_LAYERS={})
    worker = site.manage("sisy_worker")
    worker.says("Listening to PostgreSQL failed")
    for _ in range(3):
        Task.run_once(jobs.record)
    wait_until(lambda: count(RunState.SUCCEEDED) == 3, "three runs have succeeded")
    assert worker.stop() == 0
    [line] = [line for line in worker.output.splitlines() if "PostgreSQL" in line]
    assert "a pooler such as PgBouncer shares this session" in line
    assert line.endswith("connect directly to PostgreSQL); polling instead")
    assert set(map(tuple, left_on_sessions(bouncer).values())) == {()}


def test_a_process_behind_pgbouncer_rings_for_workers_that_are_not(fleet_site, bouncer):
    fleet_site.set(CHANNEL_LAYERS={}, SISY_POLL_INTERVAL=60)
    worker = fleet_site.manage("sisy_worker")
    wait_until(Process.objects.filter(pid=worker.pid).exists)
    script = "from tests.app import jobs; from sisy.models import Task; Task.run_once(jobs.record)"
    with open_site(fleet_site.folder, bouncer.url, os.environ["VALKEY_URL"]) as beside:
        beside.set(CHANNEL_LAYERS={})
        for number in (1, 2):
            assert beside.manage("shell", "--command", script).ends() == 0
            wait_until(lambda: count(RunState.SUCCEEDED) == number, patience=40)  # noqa: B023
    assert worker.stop() == 0
    assert set(map(tuple, left_on_sessions(bouncer).values())) == {()}


def test_behind_pgbouncer_only_a_roles_transactions_are_limited(site, bouncer):
    limit = f"{conf.get_settings().lease_seconds:g}s"
    found = in_roles_thread(
        shown, shown_in_a_transaction, Run.objects.count, shown_in_a_transaction
    )
    assert [found[1], found[3]] == [limit, limit]
    assert [shown(), shown_in_a_transaction()] == ["0", "0"]
    assert set(map(tuple, left_on_sessions(bouncer).values())) == {()}


def test_a_session_of_its_own_is_limited_once_for_all_transactions(fleet_site):
    limit = f"{conf.get_settings().lease_seconds:g}s"
    assert in_roles_thread(shown, shown_in_a_transaction) == [limit, limit]
    assert shown() == "0"
