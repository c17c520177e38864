"""Processes stay on record after their end, so that runs can name them, and do nothing more."""

from datetime import timedelta

import pytest
from django.db import connection

from sisy import signals
from sisy.exceptions import LeaseLost
from sisy.heartbeat import tick
from sisy.heartbeat.outlook import look
from sisy.heartbeat.rescue import rescue_lost
from sisy.heartbeat.retention import PROCESS_GRACE, PRUNE_BATCH, prune_processes
from sisy.lifecycle.release import TIME_TO_GO
from sisy.models import Process, Role, Run, RunState
from sisy.store import due
from sisy.worker.claim import claim
from tests.roles.steps import LEASE, finish, held_run
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, stored, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


@pytest.fixture
def offline():
    """Return how the workers ended of which receivers were told."""
    told_of = []

    def note(process, reason, **kwargs):
        told_of.append((process.pk, reason, process.ended_at))

    signals.worker_offline.connect(note)
    yield told_of
    signals.worker_offline.disconnect(note)


def ended_processes(count, *, at=NOON, lease_until=NOON):
    """Store the records of processes that have ended."""
    columns = {"role": Role.ENGINE, "host": "old", "pid": 7, "started_at": at}
    ended = {"ended_at": at, "lease_until": lease_until, "end_reason": "It stopped normally."}
    return Process.all_objects.bulk_create([Process(**columns, **ended) for _ in range(count)])


def test_a_process_that_leaves_stays_on_record_and_is_no_longer_registered():
    process = worker()
    process.leave()
    assert not Process.objects.exists()
    kept = Process.all_objects.get()
    assert (kept.pk, kept.ended_at, kept.end_reason) == (process.pk, NOON, "It stopped normally.")
    assert list(Process.all_objects.ended()) == [kept]
    assert not Process.all_objects.reported_dead().exists()


def test_the_end_of_a_worker_is_signalled_once(offline, django_capture_on_commit_callbacks):
    process = worker(NOON, LEASE)
    copy = Process.objects.get()
    with django_capture_on_commit_callbacks(execute=True):
        rescue_lost("default", NOON + MINUTE)
        process.leave()
        copy.leave()
    kept = Process.all_objects.get()
    assert kept.end_reason.startswith("It did not renew its lease")
    assert offline == [(process.pk, kept.end_reason, NOON + MINUTE)]


@pytest.mark.parametrize("now", [NOON, NOON + SECOND, NOON - 30 * MINUTE, NOON + 3 * HOUR])
def test_an_ended_process_renews_no_lease_and_starts_no_run(now):
    """Not even if the clock was set back, and its lease seems to last."""
    process = worker(NOON, HOUR)
    process.leave()
    scheduled("0 0 1 1 *").run_now()
    Run.objects.update(ready_at=now - SECOND)
    Process.all_objects.update(lease_until=now + SECOND)
    with pytest.raises(LeaseLost):
        claim(process, ["default"], 1, now)
    assert not process.renew(now, HOUR)
    assert not process.request_drain(now)
    assert not Process.objects.alive(now).exists()
    assert stored(Run.objects.get()).state == RunState.QUEUED


def test_the_run_of_a_process_that_left_it_behind_is_rescued():
    process = worker()
    run = held_run(process)
    process.leave()
    assert tick("default", NOON + TIME_TO_GO + SECOND).rescued == 1
    assert stored(run).state == RunState.QUEUED


def test_a_heartbeat_sees_no_ended_process():
    ended_processes(3, lease_until=NOON - DAY)
    ended_processes(3, lease_until=NOON + 100 * DAY)
    mine = Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=LEASE)
    ahead = look(mine, "default", NOON)
    assert (ahead.first_expiry, ahead.last_expiry) == (NOON + LEASE,) * 2
    assert not ahead.has_seen_end
    assert not ahead.calls_for_tick(NOON)
    mine.leave()
    assert look(mine, "default", NOON) is None


def test_a_look_ahead_reads_no_rows_of_ended_processes():
    if connection.vendor == "mysql":
        pytest.skip("EXPLAIN differs")
    ended_processes(5000)
    mine = Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=LEASE)
    sql, params = due.LOOK_AHEAD.written(
        connection.vendor,
        {"process": mine.pk, "since": NOON, "due_since": NOON, "messages_since": NOON},
    )
    explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ANALYZE sisy_process")
        cursor.execute(f"{explain} {sql}", {**params, "since": "2026-05-05"})
        plan = str(cursor.fetchall())
    assert "sisy_process_registered" in plan
    assert "Seq Scan on sisy_process" not in plan


def test_processes_are_pruned_when_no_run_can_name_them(settings):
    settings.SISY_HISTORY_DAYS = 2
    kept_for = 2 * DAY + PROCESS_GRACE
    living, gone = worker(NOON, HOUR), worker()
    finish(held_run(gone), NOON)
    gone.leave()
    assert prune_processes("default", NOON + kept_for) == 0
    tick("default", NOON + kept_for, judges_leases=False)
    assert set(Process.all_objects.all()) == {living, gone}
    tick("default", NOON + kept_for + SECOND, judges_leases=False)
    assert list(Process.all_objects.all()) == [living]
    assert not Run.objects.exists()


def test_a_pass_prunes_a_batch_of_processes_and_no_more():
    ended_processes(PRUNE_BATCH + 10)
    assert prune_processes("default", NOON + 100 * DAY) == PRUNE_BATCH
    assert prune_processes("default", NOON + 100 * DAY) == 10


def test_if_runs_are_kept_forever_so_are_the_processes_that_they_name(settings):
    settings.SISY_HISTORY_DAYS = 0
    old, gone = worker(), worker()
    old.leave(now=NOON - PROCESS_GRACE - SECOND)
    run = held_run(gone)
    finish(run, NOON)
    gone.leave()
    later = NOON + 10_000 * DAY
    assert prune_processes("default", later) == 1
    assert stored(run).worker_name == str(gone)
    run.delete()
    assert prune_processes("default", later) == 1
    assert prune_processes("default", later) == 0


def test_a_longer_history_keeps_the_names_of_workers(settings):
    settings.SISY_HISTORY_DAYS = 90
    gone = worker()
    run = held_run(gone)
    finish(run, NOON)
    gone.leave()
    tick("default", NOON + timedelta(days=89))
    assert stored(run).worker_name == str(gone)
