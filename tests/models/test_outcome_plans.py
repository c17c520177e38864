"""PostgreSQL finds the runs of claims and outcomes by their keys, whatever its statistics say."""

import json

import pytest
from django.db import connection, transaction

from sisy.lifecycle.finish import finish
from sisy.models import Run, Task
from sisy.worker.claim import claim
from tests.app import jobs
from tests.roles.steps import outcome
from tests.support.moments import NOON
from tests.support.records import scheduled, worker

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("noon"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="it is about its planner"),
]


SMALL_TABLES = {"sisy_queued_run", "sisy_running_run"}


def whole_tables_in(plans):
    """Return the tables of which a plan reads all pages."""
    found = set()
    for plan in plans:
        node = plan.get("Plan", plan)
        if node["Node Type"] == "Seq Scan":
            found.add(node["Relation Name"])
        found |= whole_tables_in(node.get("Plans", ()))
    return found


@pytest.fixture(params=["never analysed", "analysed while empty"])
def entries_of_running_runs(request, noon):
    """Leave the statistics of the entries of running runs in a state that is wrong soon after."""
    Task.bulk_run_once(jobs.noop, [{"n": n} for n in range(8000)])
    with transaction.atomic():
        claim(worker(), ["default"], 500, NOON)
        transaction.set_rollback(True)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sisy_run")  # which sees no run that is running
        if request.param == "analysed while empty":
            # There are pages, but no entry is alive.
            cursor.execute("ANALYZE sisy_running_run")


@pytest.fixture
def plans():
    """Return the plans of the statements that read or write entries meanwhile."""
    found = []

    def explained(execute, sql, params, many, context):
        if any(table in sql for table in SMALL_TABLES):
            with transaction.atomic():
                execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params, many, context)
                found.extend(context["cursor"].fetchone()[0])
                transaction.set_rollback(True)
        return execute(sql, params, many, context)

    with transaction.atomic(), connection.execute_wrapper(explained):
        yield found


@pytest.mark.usefixtures("entries_of_running_runs")
def test_many_runs_and_entries_are_not_compared_with_each_other(plans):
    runs = claim(worker(), ["default"], 500, NOON, expects_many=True)
    finish("default", [(run, outcome(NOON)) for run in runs])
    assert len(plans) >= 2
    assert "Rows Removed by Join Filter" not in json.dumps(plans)
    assert Run.objects.running().count() == 0


@pytest.fixture
def deleted_entries():
    """Leave deleted entries in the small tables, which no vacuum has removed yet."""
    numbers = "generate_series(1, 20000) n"
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO sisy_running_run (task_id, run_id, process_id) "
            f"SELECT -n, -n, 1 FROM {numbers}"
        )
        cursor.execute(
            "INSERT INTO sisy_queued_run "
            "(task_id, run_id, engine, queue, priority, ready_at, is_delayed, is_ahead) "
            f"SELECT -n, -n, '', 'gone', 0, %s, false, false FROM {numbers}",
            [NOON],
        )
        for table in SMALL_TABLES:
            cursor.execute(f"DELETE FROM {table} WHERE run_id < -100")
            cursor.execute(f"ANALYZE {table}")  # as autovacuum does while some are alive
            cursor.execute(f"DELETE FROM {table}")


@pytest.mark.usefixtures("deleted_entries")
@pytest.mark.parametrize("number", [1, 20, 100, 500])
def test_deleted_entries_are_not_read_to_start_and_finish_runs(plans, number):
    Task.bulk_run_once(jobs.noop, [{}] * number)
    plans.clear()
    runs = claim(worker(), ["default"], number, NOON, expects_many=number > 50)
    assert len(runs) == number
    finish("default", [(run, outcome(NOON)) for run in runs])
    assert len(plans) >= 2
    assert whole_tables_in(plans) & SMALL_TABLES == set()
    assert Run.objects.running().count() == 0


@pytest.mark.usefixtures("deleted_entries")
@pytest.mark.parametrize("number", [1, 20, 50])
def test_deleted_entries_are_not_read_to_start_runs_that_may_not_overlap(plans, number):
    for task in [scheduled("0 0 1 1 *") for _ in range(number)]:
        task.run_now()
    plans.clear()
    runs = claim(worker(), ["default"], number, NOON)
    assert len(runs) == number
    assert len(plans) >= 2
    assert whole_tables_in(plans) & SMALL_TABLES == set()
    finish("default", [(run, outcome(NOON)) for run in runs])
