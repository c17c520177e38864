"""What only one of the ledger and its small tables says is found, repaired and logged.

The failure of the field: rows that somebody has changed by hand, and a run that nothing executes
and nothing reports.
"""

import logging

import pytest
from django.db import connection

from sisy.heartbeat import Heartbeat, entry_check, retention
from sisy.heartbeat.entry_check import EntryCheck
from sisy.models import QueuedRun, Run, RunningRun, RunState, TroubledRun
from sisy.worker.claim import claim
from tests.roles.steps import finish
from tests.support.moments import DAY, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker
from tests.support.small_tables import disagreements

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("now")]

LATER = NOON + MINUTE + SECOND


@pytest.fixture
def run():
    return scheduled("@yearly").run_now()


def by_raw_sql(assignment, run):
    """Change the ledger, and only the ledger."""
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE sisy_run SET {assignment} WHERE id = %s", [run.pk])


def running(run):
    [won] = claim(worker(), ["default"], 1, NOON)
    assert won == run
    return won


def failed(run):
    finish(running(run), NOON, state=RunState.FAILED, reason="no")


def queued_without_entry(run):
    QueuedRun.objects.all().delete()
    return "Restored 1 missing entry of a run in the small tables"


def running_without_entry(run):
    running(run)
    RunningRun.objects.all().delete()
    return "Restored 1 missing entry of a run in the small tables"


def failed_without_entry(run):
    failed(run)
    TroubledRun.objects.all().delete()
    return "Restored 1 missing entry of a run in the small tables"


def entry_of_a_run_that_has_finished(run):
    by_raw_sql("state = 'succeeded'", run)
    return "1 entry in sisy_queued_run did not match sisy_run: corrected 0, deleted 1"


def entry_of_a_running_run_that_is_queued(run):
    running(run)
    by_raw_sql("state = 'queued', process_id = NULL", run)
    return "1 entry in sisy_running_run did not match sisy_run: corrected 0, deleted 1"


def entry_without_a_run(run):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM sisy_run WHERE id = %s", [run.pk])
    return "1 entry in sisy_queued_run did not match sisy_run: corrected 0, deleted 1"


def entry_of_another_task(run):
    QueuedRun.objects.update(task_id=run.task_id + 1)
    return "1 entry in sisy_queued_run did not match sisy_run: corrected 1, deleted 0"


def wrong_copy(table, **columns):
    def plant(run):
        if table is RunningRun:
            running(run)
        if table is TroubledRun:
            failed(run)
        table.objects.update(**columns)
        name = table._meta.db_table
        return f"1 entry in {name} did not match sisy_run: corrected 1, deleted 0"

    return plant


MISMATCHES = {
    "queued without entry": queued_without_entry,
    "running without entry": running_without_entry,
    "failed without entry": failed_without_entry,
    "entry of a finished run": entry_of_a_run_that_has_finished,
    "entry of a run that is queued again": entry_of_a_running_run_that_is_queued,
    "entry without a run": entry_without_a_run,
    "entry of another task": entry_of_another_task,
    "another queue": wrong_copy(QueuedRun, queue="other"),
    "another engine": wrong_copy(QueuedRun, engine="other"),
    "another priority": wrong_copy(QueuedRun, priority=7),
    "another moment": wrong_copy(QueuedRun, ready_at=NOON + DAY),
    "delayed": wrong_copy(QueuedRun, is_delayed=True),
    "another process": wrong_copy(RunningRun, process_id=None),
    "another state": wrong_copy(TroubledRun, state=RunState.LOST),
    "another end": wrong_copy(TroubledRun, finished_at=NOON + DAY),
    "no end": wrong_copy(TroubledRun, finished_at=None),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_a_mismatch_is_repaired_and_logged(run, caplog, name):
    check = EntryCheck("default")
    said = MISMATCHES[name](run)
    caplog.clear()
    assert check.go_on(LATER) >= 1
    assert said in caplog.text
    assert disagreements() == []
    caplog.clear()
    assert check.go_on(LATER) == 0
    assert not caplog.records


def test_a_run_is_looked_up_once_and_not_before_it_is_a_minute_old(run):
    check = EntryCheck("default")
    check.go_on(NOON)
    later = scheduled("@yearly").run_now()
    QueuedRun.objects.all().delete()
    assert check.go_on(NOON + MINUTE) == 0
    assert check.go_on(LATER) == 2
    QueuedRun.objects.filter(run_id=later.pk).delete()
    assert check.go_on(LATER + MINUTE) == 0
    assert EntryCheck("default").go_on(LATER + MINUTE) == 1


def test_an_old_run_that_has_not_finished_is_looked_up_again_by_retention(run, caplog):
    QueuedRun.objects.all().delete()
    assert retention.prune_history("default", NOON + 31 * DAY) == 0
    assert "Restored 1 missing entry" in caplog.text


def test_parts_of_any_size_reach_all_entries_and_runs(run, monkeypatch):
    monkeypatch.setattr(entry_check, "ENTRY_BATCH", 2)
    monkeypatch.setattr(entry_check, "RUN_BATCH", 2)
    tasks = [scheduled("@yearly") for _ in range(5)]
    runs = [task.run_now() for task in tasks for _ in range(2)]
    QueuedRun.objects.filter(task_id=tasks[1].pk).delete()
    QueuedRun.objects.filter(task_id=tasks[4].pk).update(queue="other")
    check = EntryCheck("default")
    assert sum(check.go_on(LATER) for _ in range(8)) == 4
    assert len(runs) == 10
    assert disagreements() == []


def test_what_another_transaction_has_locked_is_left_for_the_next_check(run, monkeypatch):
    QueuedRun.objects.update(queue="other")
    check = EntryCheck("default")
    monkeypatch.setattr(entry_check, "_lock", lambda using, runs: [])
    assert check.go_on(LATER) == 0
    monkeypatch.undo()
    assert check.go_on(LATER) == 1


def test_a_heartbeat_checks_a_part_within_a_minute(run, now, caplog):
    caplog.set_level(logging.WARNING)
    heartbeat = Heartbeat()
    heartbeat._pass()
    QueuedRun.objects.update(queue="other")
    now.moment += 50 * SECOND
    heartbeat._pass()
    assert "sisy_queued_run did not match sisy_run" in caplog.text


def test_few_statements_check_a_part_that_is_right(run, django_assert_max_num_queries):
    check = EntryCheck("default")
    check.go_on(LATER)
    with django_assert_max_num_queries(8):
        assert check.go_on(LATER) == 0
    assert Run.objects.get().state == RunState.QUEUED
