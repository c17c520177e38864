"""What happens to processes, clocks and databases between the start of a run and its call."""

import os
import signal
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection, transaction

from sisy import clock
from sisy.models import OnLost, Process, Run, RunState, Task, task_with_callable
from tests.app import jobs
from tests.processes.ahead import DUE, EARLY, LONG, Stage, Trap, calls, ends, succeeds
from tests.processes.databases import migrate, open_site
from tests.support.moments import HOUR, MINUTE, SECOND
from tests.support.waiting import wait_until

LEASE = 5  # seconds, the shortest
# Which statements a worker sends when it is stopped, or when the clock of a file is set, does not
# depend on the kind of server, and tests in roles/ send them on each.
on_one_server = pytest.mark.one_server


@pytest.fixture
def stage(new_site, forks):
    site, database = new_site()
    with database():
        yield Stage(site, forks)


@on_one_server
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopping_worker_hands_the_run_over_for_the_same_moment(stage, number):
    first = stage.start("sisy_worker")
    run = stage.started_ahead(jobs.record)
    first.send(number)
    assert first.ends() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt, run.process_id) == (RunState.QUEUED, 0, None)
    assert (run.ready_at, run.started_at, run.times_lost) == (DUE, None, 0)
    second = stage.start("sisy_worker")
    held = Run.objects.running().filter(pk=run.pk, process__pid=second.pid)
    wait_until(held.exists, "the other one has started it")
    other = stage.start("sisy_worker")
    just_before = DUE - timedelta(microseconds=1)
    stage.clock.set_exactly(just_before)
    with clock.use(stage.clock):
        succeeds(Run.objects.get(task=Task.run_once(jobs.record)))  # by the clock as it is now
    assert calls(run) == []
    stage.clock.set_exactly(DUE)
    assert succeeds(run).started_at == DUE
    assert calls(run) == [(1, second.pid)]
    assert second.stop() == other.stop() == 0


@on_one_server
def test_a_draining_worker_hands_the_run_over_and_ends(stage):
    process = stage.start("sisy_worker", "--grace", "600")
    run = stage.started_ahead()
    assert Process.objects.get(pid=process.pid).request_drain(EARLY)
    assert process.ends() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt, run.ready_at) == (RunState.QUEUED, 0, DUE)
    assert stage.notes() == []


@on_one_server
@pytest.mark.parametrize("by", [10 * SECOND, HOUR], ids=str)
def test_a_clock_that_is_set_forwards_calls_no_run_early_or_twice(stage, by):
    heartbeat, worker = stage.start("sisy_heartbeat"), stage.start("sisy_worker")
    planned = every_minute(stage)
    stage.clock.set_exactly(DUE + by)
    succeeds(planned)
    goes_on_after(stage, DUE + HOUR + 2 * MINUTE)
    assert worker.stop() == heartbeat.stop() == 0


@on_one_server
@pytest.mark.parametrize("by", [SECOND / 2, HOUR], ids=str)
def test_a_clock_that_is_set_back_neither_loses_nor_repeats_the_call(stage, by):
    heartbeat, worker = stage.start("sisy_heartbeat"), stage.start("sisy_worker")
    planned = every_minute(stage)
    stage.clock.set_exactly(EARLY - by)
    if by == HOUR:  # else the run would block its task until then
        wait_until(Run.objects.queued().filter(pk=planned.pk, attempt=0).exists, "it is released")
    assert stage.notes() == []
    stage.clock.set_exactly(DUE)
    goes_on_after(stage, DUE)
    goes_on_after(stage, DUE + 2 * MINUTE)
    assert worker.stop() == heartbeat.stop() == 0


def every_minute(stage):
    """Return the first run of a task, which a worker has started ahead."""
    with clock.use(stage.clock):
        task = task_with_callable(
            jobs.notes_in_a_file,
            label="each minute",
            schedule="* * * * *",
            userdata=stage.userdata,
            timezone="UTC",
        )
        task.save()
    planned = Run.objects.running().filter(due_at=DUE)
    return wait_until(planned.first, "the run has started")


def goes_on_after(stage, moment):
    """Check that the occurrence of a moment runs, and that each was called once, never early."""
    stage.clock.set_exactly(moment)
    ended = Run.objects.filter(state=RunState.SUCCEEDED, label="each minute")
    noted = moment.timestamp()
    wait_until(lambda: noted in [due for due, _ in stage.notes()], "the occurrence has run")
    wait_until(lambda: not Run.objects.running().exists(), "nothing is running")
    dues = [due for due, _ in stage.notes()]
    assert len(set(dues)) == len(dues) == ended.count()
    assert DUE.timestamp() in dues
    assert all(due <= now for due, now in stage.notes())


def _row_locked(run):
    # On SQLite, that locks the whole database.
    Run._base_manager.filter(pk=run.pk).update(reason="locked")


def _tables_locked(run):
    tables = ("sisy_run", "sisy_task", "sisy_process", "sisy_queued_run", "sisy_running_run")
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
        else:
            cursor.execute(f"LOCK TABLES {', '.join(f'{table} WRITE' for table in tables)}")


@pytest.mark.parametrize("lock", [_row_locked, _tables_locked])
def test_locks_ended_do_not_delay_the_call(stage, lock):
    if lock is _tables_locked and connection.vendor == "sqlite":
        pytest.skip("SQLite has no locks of tables")
    worker = stage.start("sisy_worker")
    run = stage.started_ahead()
    with transaction.atomic():
        lock(run)
        stage.clock.set_exactly(DUE)
        wait_until(stage.notes, "the function is called")
        transaction.set_rollback(True)
    if connection.vendor == "mysql":
        connection.close()  # which ends the locks of tables
    succeeds(run)
    assert len(stage.notes()) == 1
    assert worker.stop() == 0


@contextmanager
def server_frozen(server):
    """Stop all processes that serve others than the test."""
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        pids = [pid for (pid,) in cursor.fetchall()]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def server_stopped(server):
    server.stop()
    try:
        yield
    finally:
        server.start()
        connection.close()


@contextmanager
def server_crashed(server):
    server.crash()
    try:
        yield
    finally:
        server.start()
        connection.close()


@pytest.mark.parametrize("away", [server_frozen, server_stopped, server_crashed])
def test_a_function_is_called_while_the_database_is_away(
    database_server, valkey, forks, tmp_path, away
):
    if away is server_frozen and not database_server.url.startswith("postgresql"):
        pytest.skip("MariaDB serves all in one process")
    with open_site(tmp_path, database_server.url, valkey.url) as site:
        migrate(site)
        stage = Stage(site, forks)
        worker = stage.start("sisy_worker")
        run = stage.started_ahead()
        with away(database_server):
            assert stage.notes() == []
            stage.clock.set_exactly(DUE)
            wait_until(stage.notes, "the function is called")
        succeeds(run)
        assert stage.notes() == [(DUE.timestamp(), DUE.timestamp())]
        assert worker.stop() == 0


@pytest.mark.parametrize("on_lost", OnLost)
def test_the_run_of_a_worker_that_is_killed_is_rescued_and_called_once(new_site, forks, on_lost):
    trap = Trap(new_site(), forks, signal.SIGKILL, SISY_LEASE_SECONDS=LEASE)
    with trap.database():
        killed = trap.worker()
        run = trap.run(on_lost=on_lost)
        assert killed.ends() == -signal.SIGKILL
        assert (run.state, run.attempt, run.started_at) == (RunState.RUNNING, 1, run.ready_at)
        ready_at = run.ready_at
        others = [trap.start("sisy_heartbeat"), trap.start("sisy_worker")]
        end = ends(run)
        assert (end.times_lost, end.ready_at) == (1, ready_at)
        if on_lost == OnLost.FAIL:
            assert (end.state, end.attempt) == (RunState.LOST, 1)
            assert end.reason.endswith('the run is not rerun (on_lost="fail").')
            assert calls(run) == []
        else:
            assert (end.state, end.attempt) == (RunState.SUCCEEDED, 2)
            assert calls(run) == [(2, others[1].pid)]
            [lost] = end.attempts.all()
            assert (lost.state, lost.started_at) == (RunState.LOST, ready_at)
        assert [process.stop() for process in others] == [0, 0]


@pytest.mark.skipif(connection.vendor == "sqlite", reason="a frozen process may lock all of it")
def test_a_worker_that_freezes_longer_than_its_lease_does_not_call_the_run(new_site, forks):
    trap = Trap(new_site(), forks, signal.SIGSTOP, SISY_LEASE_SECONDS=LEASE)
    with trap.database():
        frozen = trap.worker()
        run = trap.run()
        heartbeat, other = trap.start("sisy_heartbeat"), trap.start("sisy_worker")
        end = ends(run)
        assert (end.state, end.attempt, end.times_lost) == (RunState.SUCCEEDED, 2, 1)
        as_it_ended = Run.objects.filter(pk=run.pk).values().get()
        assert other.stop() == 0
        frozen.send(signal.SIGCONT)
        frozen.says("lost its lease")
        # It works again, so it has also looked at its timers.
        again = Run.objects.get(task=Task.run_once(jobs.record))
        succeeds(again)
        assert calls(again) == [(1, frozen.pid)]
        assert calls(run) == [(2, other.pid)]
        assert Run.objects.filter(pk=run.pk).values().get() == as_it_ended
        assert frozen.stop() == heartbeat.stop() == 0


def test_a_worker_that_freezes_briefly_calls_the_run_late_and_once(new_site, forks):
    trap = Trap(new_site(), forks, signal.SIGSTOP, SISY_LEASE_SECONDS=LONG)
    with trap.database():
        frozen = trap.worker()
        run = trap.run()
        heartbeat = trap.start("sisy_heartbeat")
        later = run.ready_at + 2 * SECOND
        wait_until(lambda: clock.now("default") >= later, "its moment has passed")
        frozen.send(signal.SIGCONT)
        end = succeeds(run)
        assert end.times_lost == 0
        assert end.started_at >= later - SECOND  # their readings of the clock may differ a little
        assert calls(run) == [(1, frozen.pid)]
        assert frozen.stop() == heartbeat.stop() == 0
