"""Claims that start runs in the statement that locks them, where nothing is left to decide.

PostgreSQL does so for a worker with one queue. The outcome is the same on each database, and for
workers with several queues.
"""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy import signals
from sisy.exceptions import LeaseLost
from sisy.models import Overlap, Process, Queue, QueuedRun, Run, RunningRun, RunState, Task
from sisy.store.starts import MAX_STARTED_AT_ONCE
from sisy.worker.claim import claim
from sisy.worker.low_water import LowWaterMarks
from tests.support.moments import NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

QUEUES = pytest.mark.parametrize("queues", [["default"], ["default", "other"]])


def never(**fields):
    """Return a task that runs only if somebody wants it to."""
    return scheduled("0 0 1 1 *", **fields)


@pytest.fixture
def mixed():
    """Queue one after the other: runs that may overlap, and pairs of runs that may not."""
    exclusive = never(overlap=Overlap.BUFFER_ALL)
    others = [never(overlap=Overlap.ALLOW) for _ in range(3)]
    tasks = [others[0], exclusive, others[1], exclusive, others[2]]
    return [task.run_now() for task in tasks]


@QUEUES
def test_runs_start_in_their_turn_whether_they_may_overlap_or_not(mixed, queues):
    won = claim(worker(), queues, 10, NOON)
    assert won == [mixed[0], mixed[1], mixed[2], mixed[4]]
    assert {(run.state, run.attempt, run.started_at) for run in won} == {("running", 1, NOON)}
    assert [run.task for run in won] == [
        run.task for run in Run.objects.filter(pk__in=[run.pk for run in won]).order_by("pk")
    ]
    stored = Run.objects.filter(pk__in=[run.pk for run in won])
    assert set(stored.values_list("state", "attempt", "started_at")) == {("running", 1, NOON)}
    assert set(RunningRun.objects.values_list("run_id", flat=True)) == {run.pk for run in won}
    assert QueuedRun.objects.get().run_id == mixed[3].pk


@QUEUES
def test_no_more_runs_start_than_there_are_slots(mixed, queues):
    assert claim(worker(), queues, 2, NOON) == mixed[:2]
    assert RunningRun.objects.count() == 2
    assert claim(worker(), queues, 2, NOON) == [mixed[2], mixed[4]]


@QUEUES
def test_without_a_lease_none_of_them_starts(mixed, queues):
    process = worker()
    Process.objects.filter(pk=process.pk).update(lease_until=NOON - SECOND)
    with pytest.raises(LeaseLost):
        claim(process, queues, 10, NOON)
    assert (QueuedRun.objects.count(), RunningRun.objects.count()) == (5, 0)
    assert set(Run.objects.values_list("state", "attempt")) == {("queued", 0)}


@QUEUES
def test_cancelled_runs_and_those_of_deleted_tasks_do_not_start(mixed, queues):
    Run.objects.filter(pk=mixed[0].pk).update(cancel_requested_at=NOON)
    Task.objects.filter(pk=mixed[2].task_id)._raw_delete("default")
    assert claim(worker(), queues, 10, NOON) == [mixed[1], mixed[4]]
    ended = Run.objects.filter(pk__in=[mixed[0].pk, mixed[2].pk])
    assert set(ended.values_list("state", "attempt")) == {(RunState.CANCELLED, 0)}


@QUEUES
def test_receivers_get_the_runs_as_they_started_with_their_tasks(mixed, queues):
    heard = []

    def receiver(run, **kwargs):
        heard.append((run, run.task, run.state, run.attempt, run.process))

    signals.run_started.connect(receiver)
    process = worker()
    won = claim(process, queues, 10, NOON)
    signals.run_started.disconnect(receiver)
    expected = [(run, run.task, RunState.RUNNING, 1, process) for run in won]
    assert sorted(heard, key=lambda each: each[0].pk) == expected


def test_a_paused_queue_keeps_the_runs_of_a_task_that_others_queue_too():
    task = never(overlap=Overlap.BUFFER_ALL, queue="other")
    older = task.run_now()
    task.queue = "default"
    task.save()
    newer = task.run_now()
    Queue.objects.pause("other")
    assert claim(worker(), ["default", "other"], 10, NOON) == [newer]
    older.refresh_from_db()
    assert older.state == RunState.QUEUED


@pytest.mark.one_server
def test_a_lone_run_takes_one_statement_on_postgresql():
    if connection.vendor != "postgresql":
        pytest.skip("the other databases need a statement for each step")
    run = never(overlap=Overlap.ALLOW).run_now()
    process, marks = worker(), LowWaterMarks("default")
    marks.renew(["default"], NOON)
    with CaptureQueriesContext(connection) as queries:
        assert claim(process, ["default"], 1, NOON, marks=marks) == [run]
    sent = [query["sql"].split()[0] for query in queries if "sisy_" in query["sql"]]
    assert sent == ["WITH"]


@pytest.mark.parametrize("expects_many", [False, True])
def test_many_runs_start_in_their_order(expects_many):
    task = never(overlap=Overlap.ALLOW)
    runs = [task.run_now() for _ in range(MAX_STARTED_AT_ONCE + 10)]
    limit = len(runs) - 1
    assert claim(worker(), ["default"], limit, NOON, expects_many=expects_many) == runs[:limit]
    assert QueuedRun.objects.get().run_id == runs[-1].pk
