"""A run names its worker by the row of its process."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.heartbeat import tick
from sisy.heartbeat.rescue import rescue_lost
from sisy.models import OnLost, Process, Run
from sisy.worker.claim import claim
from tests.commands.calling import told
from tests.roles.steps import LEASE, finish, held_run
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled, stored, worker

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def names(runs):
    return [run.worker_name for run in runs]


def test_a_run_names_its_process_also_after_its_end():
    process = worker(NOON, LEASE)
    ended, lost = held_run(process), held_run(process, on_lost=OnLost.FAIL)
    again = held_run(process)
    finish(ended, NOON)
    assert tick("default", NOON + MINUTE).rescued == 1
    assert names([ended, lost, stored(ended), stored(lost)]) == [str(process)] * 4
    assert stored(again).worker_name == ""
    assert stored(again).attempts.get().worker_name == str(process)


def test_a_worker_is_unknown_once_the_record_of_its_process_is_deleted():
    run = held_run(worker())
    Process.all_objects.all().delete()
    assert stored(run).worker_name == ""
    assert Run.objects.select_related("process").get().worker_name == ""
    assert stored(run).process_id is not None


def test_a_list_reads_the_names_of_all_workers_together():
    task = scheduled("0 0 1 1 *")

    def statements(count):
        for _ in range(count):
            process = worker()
            task.run_now()
            finish(claim(process, ["default"], 1, NOON)[0], NOON)
            process.leave()
        with CaptureQueriesContext(connection) as seen:
            rows = told(f"sisy_tasks history {task.pk}")
        assert all(row["worker"].startswith("worker ") for row in rows)
        return len(seen)

    assert statements(1) == statements(9)


def test_the_attempts_of_many_lost_runs_are_named_by_as_few_statements_as_one():
    def statements(count):
        process = worker(NOON, LEASE)
        for _ in range(count):
            held_run(process)
        with CaptureQueriesContext(connection) as seen:
            assert len(rescue_lost("default", NOON + MINUTE)) == count
        Run.objects.all().delete()
        return len(seen)

    assert statements(8) == statements(1)
