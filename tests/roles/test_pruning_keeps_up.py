"""A heartbeat deletes old history as fast as a busy site adds to it, and plans in time meanwhile.

The failure of the field: a cleanup of one batch a minute, on a site that finishes a thousand runs
a second.
"""

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.heartbeat import Heartbeat, retention
from sisy.models import Process, Run, RunState, Task
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clocks")]

BATCH = 5


@pytest.fixture(autouse=True)
def small_batches(monkeypatch, settings):
    monkeypatch.setattr(retention, "PRUNE_BATCH", BATCH)
    settings.SISY_HISTORY_DAYS = 30


@pytest.fixture
def heartbeat():
    """Return a heartbeat, and close its connection in the end."""
    heartbeat = Heartbeat()
    yield heartbeat
    async_to_sync(heartbeat._database.close)()


@pytest.fixture
def slow(monkeypatch, clocks):
    """Let each batch take a tenth of a second."""
    prunes = retention._prune

    def prunes_slowly(using, pks):
        clocks.go_on(SECOND / 10)
        return prunes(using, pks)

    monkeypatch.setattr(retention, "_prune", prunes_slowly)


def store_old(count, task=None):
    task = task or scheduled("@yearly")
    old = {"now": NOON - 40 * DAY, "finished_at": NOON - 40 * DAY, "state": RunState.SUCCEEDED}
    Run.objects.bulk_create(task.new_run(**old) for _ in range(count))
    return task


def left(heartbeat):
    """Let the heartbeat make a step, and return the runs that are left, and how long it waits."""
    wait = async_to_sync(heartbeat._step)()
    return Run.objects.count(), wait


def test_a_step_deletes_all_batches_for_which_there_is_time(heartbeat):
    store_old(20 * BATCH + 3)
    count, wait = left(heartbeat)
    assert count == 0
    assert wait == pytest.approx(0.5, abs=0.01)


def test_a_step_spends_at_most_half_of_its_wait_on_old_history(heartbeat, slow):
    store_old(30 * BATCH)
    # A batch is a part of the pass. Then 0.4 seconds are left until the next one.
    count, wait = left(heartbeat)
    assert count == (30 - 1 - 2) * BATCH
    assert wait == pytest.approx(0.2, abs=0.01)


def test_the_next_steps_continue_though_nothing_is_due(heartbeat, slow, clocks):
    store_old(30 * BATCH)
    count = 1
    while count and clocks.moment < NOON + MINUTE:
        count, wait = left(heartbeat)
        clocks.go_on(timedelta(seconds=wait))
    assert count == 0
    assert clocks.moment - NOON <= 8 * SECOND


def test_a_task_that_is_due_soon_is_planned_in_time(heartbeat, slow, clocks):
    store_old(30 * BATCH)
    task = scheduled("0 0 1 1 *", spread=SECOND)  # not planned ahead
    Task._base_manager.filter(pk=task.pk).update(next_run=NOON + SECOND / 2)
    _, wait = left(heartbeat)
    # The pass took a tenth. Of the 0.4 seconds that were left, pruning took half.
    assert wait == pytest.approx(0.2, abs=0.01)
    clocks.go_on(timedelta(seconds=wait))
    left(heartbeat)
    assert Run.objects.filter(task=task).get().planned_at == NOON + SECOND / 2


def test_a_heartbeat_that_keeps_up_asks_nothing_more():
    store_old(BATCH - 1)
    rounds = retention.Rounds("default")
    assert retention.prune_history("default", NOON, rounds) == BATCH - 1
    with CaptureQueriesContext(connection) as queries:
        assert retention.prune_backlog("default", NOON, rounds, retention.ENDLESS) == 0
    assert len(queries) == 0


def test_a_limit_that_is_removed_ends_the_work(settings):
    store_old(3 * BATCH)
    rounds = retention.Rounds("default")
    retention.prune_history("default", NOON, rounds)
    settings.SISY_HISTORY_DAYS = 0
    assert retention.prune_backlog("default", NOON, rounds, retention.ENDLESS) == 0
    assert Run.objects.count() == 2 * BATCH


def test_processes_are_deleted_as_fast_as_runs(heartbeat):
    store_old(4 * BATCH)
    for _ in range(4 * BATCH):
        worker(NOON - 40 * DAY, HOUR)
    Process.all_objects.update(ended_at=NOON - 40 * DAY)
    left(heartbeat)
    assert not Process.all_objects.exclude(ended_at=None).exists()


def test_all_that_a_task_has_too_many_of_is_found_once():
    task = store_old(20 * BATCH, scheduled("@yearly", history_runs=2 * BATCH))
    with CaptureQueriesContext(connection) as queries:
        pruned, _ = retention.prune_surplus("default", task.pk, task.pk)
    assert pruned == 18 * BATCH
    assert Run.objects.count() == 2 * BATCH
    assert sum("OFFSET" in query["sql"] for query in queries) == 1


def test_the_totals_of_tasks_grow_with_each_batch(heartbeat):
    tasks = [store_old(2 * BATCH) for _ in range(3)]
    deleted = store_old(BATCH)
    deleted.delete()
    left(heartbeat)
    assert [Task.objects.get(pk=task.pk).pruned for task in tasks] == [
        {"succeeded": 2 * BATCH} for _ in tasks
    ]
