"""What is asked all the time begins at the small tables, and reads the ledger by its keys alone.

The failure of the field: a ledger of a year in which each tick and each cancellation is slower
than on the first day.
"""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.engines import dispatch, execute
from sisy.heartbeat import clock_rollback, quarantine, retention, tick
from sisy.heartbeat.rescue import rescue_lost, rescue_orphans
from sisy.models import Process, QueuedRun, Run, RunState, Task
from sisy.testing import beginning, timeline
from sisy.worker.claim import claim
from tests.support.moments import DAY, HOUR, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

FINISHED = 2000


@pytest.fixture
def task():
    """Return a task with a long history, whose runs are queued, delayed and running."""
    task = scheduled("@yearly")
    ended = {"now": NOON, "state": RunState.SUCCEEDED, "finished_at": NOON}
    Run.objects.bulk_create(task.new_run(**ended) for _ in range(FINISHED))
    task.run_now()
    claim(worker(), ["default"], 1, NOON)
    task.run_now()
    task.new_run(now=NOON, ready_at=NOON + DAY, attempt=1).save()
    foreign = task.new_run(now=NOON)
    foreign.engine = "immediate"
    foreign.save()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE sisy_run, sisy_queued_run, sisy_running_run, sisy_task")
    return task


def deleting_a_task(task):
    assert task.delete()[0] == 1
    assert not QueuedRun.objects.exists()


def deleting_ended_tasks(task):
    Task.objects.filter(pk=task.pk).update(state="retired")
    assert retention.delete_ended("default") == 0
    Run.objects.live_of([task.pk]).update(state=RunState.SUCCEEDED)
    assert retention.delete_ended("default") == 1


def rescuing(task):
    Process.objects.update(end_reason="killed")
    assert len(rescue_lost("default", NOON)) == 1


def rescuing_orphans(task):
    Process.objects.all().delete()
    assert len(rescue_orphans("default", NOON)) == 1


def releasing_what_was_never_confirmed(task):
    [held] = Run.objects.running_in(Process.objects.get().pk)
    assert held.state == RunState.RUNNING


def repairing_after_the_clock_was_set_back(task):
    clock_rollback._make_ready_now("default", NOON - DAY, NOON)
    clock_rollback._shorten_retries("default", NOON - DAY)


def looking_for_unreadable_rows(task):
    assert quarantine.reject_unreadable_rows("default", NOON) == 0


def sending_runs_to_their_engines(task):
    dispatch._take("default", NOON)
    dispatch.refuse_unknown("default", NOON)
    run = a_queued_run()
    execute._send_others("default", run)
    execute._send_again("default", run.pk)


def beginning_a_test(task):
    beginning.begin("default", NOON - HOUR, NOON + 2 * DAY)
    assert timeline.next_moment("default", NOON) is not None
    assert timeline._ready_queues("default", NOON)


def a_queued_run():
    return Run.objects.get(pk=QueuedRun.objects.first().run_id)


VERBS = {
    "tick": lambda task: tick("default", NOON + SECOND),
    "delete": deleting_a_task,
    "delete ended": deleting_ended_tasks,
    "cancel queued": lambda task: task.cancel_queued(),
    "cancel runs": lambda task: task.cancel_runs(),
    "cancel one": lambda task: a_queued_run().cancel(),
    "rescue": rescuing,
    "orphans": rescuing_orphans,
    "release": releasing_what_was_never_confirmed,
    "clock": repairing_after_the_clock_was_set_back,
    "unreadable": looking_for_unreadable_rows,
    "engines": sending_runs_to_their_engines,
    "testing": beginning_a_test,
}


@pytest.mark.parametrize("name", VERBS)
def test_nothing_reads_the_whole_ledger(task, name):
    if connection.vendor == "mysql":
        pytest.skip("EXPLAIN differs")
    with CaptureQueriesContext(connection) as queries:
        VERBS[name](task)
    statements = [query["sql"] for query in queries if "sisy_run" in query["sql"]]
    assert [found for found in map(scans, statements) if found] == []
    assert len(queries) > 0


def scans(sql):
    """Return the statement and its plan if it reads all runs, or all runs of a task."""
    if not sql.startswith(("SELECT", "DELETE", "UPDATE", "WITH")):
        return None
    explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {sql}")
        steps = [str(row[-1]) for row in cursor.fetchall()]
    marks = ("Seq Scan on sisy_run ", "SCAN sisy_run", "sisy_run_history")
    bad = [step for step in steps if any(mark in f"{step} " for mark in marks)]
    bad = [step for step in bad if "SCAN sisy_running" not in step]
    return (sql, steps) if bad else None
