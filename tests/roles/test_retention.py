"""What of the ledger is kept, for how long, and what a task still knows of the rest.

The failures of the field: a table of results that grows until the database is full, and a
scheduler that fires again for the past once its history is gone.
"""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.heartbeat import tick
from sisy.heartbeat.retention import PRUNE_BATCH, prune_surplus
from sisy.models import Attempt, Run, RunState, Task
from sisy.worker.claim import claim
from tests.roles.steps import finish, states
from tests.support.moments import DAY, HOUR, MINUTE, NOON
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]


def ended_runs(task, count, *, at=NOON, state=RunState.SUCCEEDED):
    """Store runs of a task that ended, none of them of the schedule."""
    runs = [task.new_run(now=at, state=state, finished_at=at) for _ in range(count)]
    return Run.objects.bulk_create(runs)


def prune_surplus_of_all():
    pruned, _ = prune_surplus("default", 0, 2**62)
    return pruned


def test_old_history_is_pruned(settings):
    settings.SISY_HISTORY_DAYS = 1
    scheduled()
    tick("default", NOON + MINUTE)
    [run] = claim(worker(), ["default"], 10, NOON + MINUTE)
    finish(run, NOON + MINUTE)
    assert tick("default", NOON + 2 * DAY).pruned == 1


def test_all_history_is_kept_if_that_is_wanted(settings):
    settings.SISY_HISTORY_DAYS = 0
    ended_runs(scheduled(), 3)
    assert tick("default", NOON + 10_000 * DAY).pruned == 0


def test_pruning_keeps_unfinished_runs():
    run = scheduled("0 0 1 1 *").run_now()
    Run.objects.filter(pk=run.pk).update(finished_at=NOON - 100 * DAY)  # a retry that is queued
    assert tick("default", NOON).pruned == 0
    assert Run.objects.exists()


def test_each_tick_prunes_a_batch_and_no_more():
    ended_runs(scheduled("0 0 1 1 *"), PRUNE_BATCH + 10)
    later = NOON + 100 * DAY
    assert tick("default", later, is_thorough=False).pruned == PRUNE_BATCH
    assert tick("default", later, is_thorough=False).pruned == 10


def test_the_attempts_of_a_run_are_pruned_with_it():
    [run] = ended_runs(scheduled("0 0 1 1 *"), 1)
    Attempt.objects.create(run=run, number=1, state=RunState.FAILED, finished_at=NOON)
    tick("default", NOON + 100 * DAY)
    assert not Attempt.objects.exists()


def test_pruning_never_reopens_an_occurrence(settings):
    settings.SISY_HISTORY_DAYS = 1
    task = scheduled("0 * * * *")
    tick("default", NOON + HOUR)
    [run] = claim(worker(), ["default"], 10, NOON + HOUR)
    finish(run, NOON + HOUR)
    task.pause()
    assert tick("default", NOON + 3 * DAY).pruned == 1
    task.resume()  # at noon of the first day: as if the clock had been set back
    tick("default", NOON + HOUR)
    task.refresh_from_db()
    assert (states(), task.planned_until, task.next_run) == ([], NOON + HOUR, NOON + 2 * HOUR)


def test_a_task_keeps_its_configured_number_of_newest_runs():
    task = scheduled("0 0 1 1 *", history_runs=3)
    runs = ended_runs(task, 10)
    other = scheduled("0 0 1 1 *")
    ended_runs(other, 10)
    assert prune_surplus_of_all() == 7
    kept = Run.objects.filter(task=task).order_by("pk").values_list("pk", flat=True)
    assert list(kept) == [run.pk for run in runs[7:]]
    assert other.runs.count() == 10


def test_without_a_number_a_task_keeps_as_many_as_the_setting_says(settings):
    settings.SISY_HISTORY_RUNS = 4
    task = scheduled("0 0 1 1 *")
    ended_runs(task, 10)
    Task.objects.filter(pk=task.pk).update(runs_planned=10)
    assert prune_surplus_of_all() == 6


def test_zero_keeps_any_number(settings):
    settings.SISY_HISTORY_RUNS = 0
    ended_runs(scheduled("0 0 1 1 *", history_runs=0), 10)
    Task.objects.update(runs_planned=10)
    assert prune_surplus_of_all() == 0


def test_a_task_remembers_how_many_runs_were_pruned_and_how_they_ended():
    task = scheduled("0 0 1 1 *", history_runs=1)
    ended_runs(task, 3)
    ended_runs(task, 2, state=RunState.FAILED)
    [gap] = ended_runs(task, 1, state=RunState.MISSED)
    Run.objects.filter(pk=gap.pk).update(count=1000)
    ended_runs(task, 1)
    before = task.counts()
    assert before == {"succeeded": 4, "failed": 2, "missed": 1000}
    assert prune_surplus_of_all() == 6
    task.refresh_from_db()
    assert task.pruned == {"succeeded": 3, "failed": 2, "missed": 1000}
    assert task.counts() == before


def test_runs_of_deleted_tasks_are_pruned_by_age():
    task = scheduled("0 0 1 1 *")
    ended_runs(task, 5)
    task.delete()
    assert tick("default", NOON + 31 * DAY).pruned == 5


def test_pruning_takes_few_statements_however_many_tasks_there_are():
    for _ in range(50):
        ended_runs(scheduled("0 0 1 1 *"), 2)
    with CaptureQueriesContext(connection) as queries:
        assert tick("default", NOON + 100 * DAY, is_thorough=False).pruned == 100
    assert len(queries) < 40
