"""A task counts its runs by state, and does not read those that succeeded."""

import pytest
from django.db import connection

from sisy.models import Overlap, Run, RunState, Task
from sisy.records.choices import TROUBLE_STATES
from sisy.store.reports import COUNTS_OF_TASK
from sisy.worker.claim import claim
from tests.app import jobs
from tests.support.moments import NOON
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def store_ended(task, count, state):
    ended = {"now": NOON, "state": state, "finished_at": NOON}
    return Run.objects.bulk_create(task.new_run(**ended) for _ in range(count))


def test_runs_in_all_states_are_counted_and_those_of_other_tasks_are_not():
    task, other = scheduled("@yearly", overlap=Overlap.ALLOW), scheduled("@yearly")
    for number, state in enumerate([RunState.SUCCEEDED, *TROUBLE_STATES], start=1):
        store_ended(task, number, state)
        store_ended(other, 1, state)
    [gap] = store_ended(task, 1, RunState.MISSED)
    Run.objects.filter(pk=gap.pk).update(count=1000)
    for _ in range(3):
        task.run_now()
    assert len(claim(worker(), ["default"], 2, NOON)) == 2
    expected = {str(state): number for number, state in enumerate(TROUBLE_STATES, start=2)}
    expected[RunState.MISSED] += 1000
    assert task.counts() == expected | {"succeeded": 1, "queued": 1, "running": 2}


def test_a_state_without_runs_is_left_out():
    assert scheduled("@yearly").counts() == {}
    task = Task.run_once(jobs.noop)
    assert task.counts() == {"queued": 1}
    assert Task().counts() == {}


def test_occurrences_that_were_pruned_count():
    task = scheduled("@yearly")
    store_ended(task, 2, RunState.SUCCEEDED)
    task.pruned = {"succeeded": 5, "missed": 7}
    assert task.counts() == {"succeeded": 7, "missed": 7}


@pytest.mark.skipif(connection.vendor != "sqlite", reason="EXPLAIN differs")
def test_the_runs_of_a_task_are_counted_in_an_index_alone():
    sql, params = COUNTS_OF_TASK.written("sqlite", {"task": 1, "now": "2026-05-05"})
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
        steps = [step for *_, step in cursor.fetchall()]
    [counted] = [step for step in steps if "sisy_run " in step and "rowid" not in step]
    assert "USING COVERING INDEX" in counted
