"""What a heartbeat asks the database while nothing is due, and how late its rounds may be."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy import clock
from sisy.engines import dispatch
from sisy.heartbeat import Heartbeat, timing_check
from sisy.heartbeat.timing_check import Audit
from sisy.models import Task, task_with_callable
from sisy.store import due
from tests.app import jobs
from tests.support.moments import MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = pytest.mark.django_db

IDLE = "0 0 1 1 *"
IN_TRANSACTIONS = ("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT")


class Bell:
    is_live = True


@pytest.fixture
def heartbeat(settings):
    settings.SISY_ENGINES = {}
    heartbeat = Heartbeat()
    heartbeat._bell = Bell()
    return heartbeat


def lead(heartbeat, clocks, seconds):
    """Let the heartbeat look whenever it wants to, for so long. Return how often it looked."""
    until, looks = clocks.moment + timedelta(seconds=seconds), 0
    while clocks.moment < until:
        wait = heartbeat._pass().wait
        clocks.go_on(timedelta(seconds=wait))
        looks += 1
    return looks


def test_an_idle_minute_takes_about_one_statement_a_second(heartbeat, clocks):
    for _ in range(20):
        scheduled(IDLE)
    lead(heartbeat, clocks, 120)
    with CaptureQueriesContext(connection) as queries:
        looks = lead(heartbeat, clocks, 60)
    asked = [one["sql"] for one in queries if not one["sql"].startswith(IN_TRANSACTIONS)]
    assert looks <= 40
    assert len(asked) <= 70, asked


def test_raw_sql_is_found_within_a_minute_all_the_same(heartbeat, clocks):
    task = scheduled(IDLE)
    lead(heartbeat, clocks, 33)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sisy_task SET schedule = '0 0 2 1 *'")
    before = Task.objects.get().next_run
    lead(heartbeat, clocks, 58)
    assert Task.objects.get(pk=task.pk).next_run != before


@pytest.mark.parametrize(
    ("count", "slices", "seconds"),
    [(1, 1, 50), (19, 1, 50), (30, 2, 25), (90, 5, 10), (600, 7, 10)],
)
def test_an_audit_covers_all_tasks_in_about_a_minute_by_as_few_slices_as_it_can(
    count, slices, seconds, clocks, monkeypatch
):
    monkeypatch.setattr(timing_check, "SMALLEST_AUDIT", 20)
    monkeypatch.setattr(timing_check, "LARGEST_AUDIT", 100)
    audited = []
    monkeypatch.setattr(timing_check, "audit", lambda *args: audited.append(args[2:4]))
    tasks = Task.objects.bulk_create([declared() for _ in range(count)])
    audit = Audit("default")
    audit_cycle(audit, clocks)
    audited.clear()
    waits = audit_cycle(audit, clocks)
    assert (len(audited), waits) == (slices, {timedelta(seconds=seconds)})
    covered = [task.pk for task in tasks if any(a <= task.pk <= b for a, b in audited)]
    assert len(covered) == count


def audit_cycle(audit, clocks):
    """Audit slices until all tasks were covered. Return the waits after each."""
    waits, is_complete = set(), False
    while not is_complete:
        audit.go_on(clocks.moment, timing_check.ENDLESS)
        waits.add(audit.next_at - clocks.moment)
        clocks.moment = audit.next_at
        is_complete = audit._next_key == 0
    return waits


def declared():
    return task_with_callable(jobs.noop, schedule=IDLE)


def test_an_audit_of_few_tasks_is_one_slice_however_large_their_keys_are(clocks, monkeypatch):
    audited = []
    monkeypatch.setattr(timing_check, "audit", lambda *args: audited.append(args[2:4]))
    task = scheduled(IDLE)
    Task.objects.filter(pk=task.pk).update(id=2**40)
    audit = Audit("default")
    for _ in range(3):
        audit.go_on(clocks.moment, timing_check.ENDLESS)
        assert audit.next_at - clocks.moment == timedelta(seconds=50)
        clocks.moment = audit.next_at
    assert audited == [(0, timing_check.LAST_KEY)] * 3


def test_an_audit_continues_soon_if_there_are_more_entries_to_check(clocks, monkeypatch):
    scheduled(IDLE)
    audit = Audit("default")
    monkeypatch.setattr(audit._entries, "go_on", lambda now: None)
    audit._entries.is_behind = True
    audit.go_on(clocks.moment, timing_check.ENDLESS)
    assert audit.next_at - clocks.moment == timing_check.AUDIT_INTERVAL


def test_a_check_of_entries_says_whether_it_is_behind(clocks, monkeypatch):
    monkeypatch.setattr("sisy.heartbeat.entry_check.ENTRY_BATCH", 3)
    monkeypatch.setattr("sisy.heartbeat.entry_check.RUN_BATCH", 3)
    task = scheduled(IDLE)
    entries = Audit("default")._entries
    entries.go_on(clocks.moment)
    assert not entries.is_behind
    for _ in range(4):
        task.run_now()
    entries.go_on(clocks.moment)
    assert entries.is_behind
    for _ in range(3):
        entries.go_on(clocks.moment + 2 * MINUTE)
    assert not entries.is_behind


def test_without_runs_of_other_engines_a_look_for_them_is_one_statement(settings, clocks):
    settings.SISY_ENGINES = {"at once": "immediate"}
    scheduled(IDLE).run_now()
    with CaptureQueriesContext(connection) as queries:
        assert dispatch.dispatch("default", NOON) == 0
    assert len(queries) == 1


@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has no clock")
def test_with_each_look_comes_the_time(monkeypatch):
    # By this clock each statement takes no time, however busy the machine is.
    monkeypatch.setattr(clock, "steady", lambda: 100.0)
    process = worker()
    own = clock.DatabaseClock()
    with clock.use(own):
        before = time_of_the_database()
        due.look_ahead("default", process.pk, NOON)
        with CaptureQueriesContext(connection) as queries:
            read = own.now("default").replace(tzinfo=before.tzinfo)
        assert list(queries) == []
        assert before <= read <= time_of_the_database()


def time_of_the_database():
    [[moment]] = rows(f"SELECT {clock.NOW_SQL[connection.vendor]}")
    return moment


def rows(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def test_a_reading_that_took_long_is_not_used():
    own = clock.DatabaseClock()
    own.note("default", NOON, asked=10.0, answered=10.004)
    used = own._readings["default"]
    assert (used.at, used.moment, used.error) == (
        pytest.approx(10.002),
        NOON,
        pytest.approx(0.002),
    )
    own.note("default", NOON + SECOND, asked=11.0, answered=11.5)
    assert own._readings["default"] is used


def test_a_clock_of_a_test_takes_no_readings(clocks):
    clock.note("default", NOON, 1.0, 1.0)
    assert clock.now("default") == clocks.moment
