"""Rows whose own moments raw SQL has spoilt: they blinded the heartbeat, and nothing ran."""

import pytest
from django.db import connection

from sisy.heartbeat import Heartbeat
from sisy.models import Process, Run, RunState, Task, TaskState
from sisy.store import entries
from tests.app import jobs
from tests.roles.steps import LEASE
from tests.support.moments import HOUR, MINUTE, NOON
from tests.support.records import scheduled, worker

pytestmark = pytest.mark.django_db


@pytest.fixture
def heartbeat(now):
    return Heartbeat()


def spoil(row, column):
    """Store what the database takes for a moment there, and Python does not."""
    moment = "infinity" if connection.vendor == "postgresql" else "2026-13-45 00:00:00"
    table = row._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {column} = %s WHERE id = %s", [moment, row.pk])
    if isinstance(row, Run):
        entries.follow("default", [row.pk])


needs_spoilable = pytest.mark.skipif(
    connection.vendor == "mysql", reason="MariaDB stores nothing but moments there"
)


@needs_spoilable
def test_a_task_with_an_unreadable_next_moment_is_marked_broken(now, heartbeat):
    spoilt = scheduled()
    spoil(spoilt, "next_run")
    heartbeat._pass()
    assert Task.objects.defer("next_run").get(pk=spoilt.pk).state == TaskState.BROKEN
    other = scheduled()
    now.moment = NOON + MINUTE
    heartbeat._pass()
    assert other.runs.exists()


@needs_spoilable
def test_a_run_with_an_unreadable_moment_fails_with_the_reason(now, heartbeat):
    run = Run.objects.get(task=Task.run_once(jobs.noop, delay_until=NOON + HOUR))
    spoil(run, "ready_at")
    heartbeat._pass()
    run = Run.objects.get(pk=run.pk)
    assert (run.state, run.finished_at) == (RunState.FAILED, NOON)
    assert run.reason == "The stored ready_at cannot be read. Retry the run."


@needs_spoilable
def test_a_process_with_an_unreadable_lease_registers_again(now, heartbeat):
    spoilt = worker(NOON, LEASE)
    spoil(spoilt, "lease_until")
    heartbeat._pass()
    assert not Process.objects.filter(pk=spoilt.pk).exists()


def test_a_read_that_fails_for_another_reason_raises(now, heartbeat, monkeypatch):
    def breaks(*args):
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("sisy.heartbeat.role.look", breaks)
    scheduled()
    with pytest.raises(RuntimeError):
        heartbeat._pass()
    assert Task.objects.get().next_run == NOON + MINUTE
