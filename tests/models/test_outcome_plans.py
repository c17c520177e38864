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
from tests.support.records import worker

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("noon"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="it is about its planner"),
]


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


@pytest.mark.usefixtures("entries_of_running_runs")
def test_many_runs_and_entries_are_not_compared_with_each_other():
    plans = []

    def explained(execute, sql, params, many, context):
        if "started AS (" in sql or "WITH finished" in sql:
            with transaction.atomic():
                execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params, many, context)
                plans.extend(context["cursor"].fetchone()[0])
                transaction.set_rollback(True)
        return execute(sql, params, many, context)

    with transaction.atomic(), connection.execute_wrapper(explained):
        runs = claim(worker(), ["default"], 500, NOON, expects_many=True)
        finish("default", [(run, outcome(NOON)) for run in runs])
    assert len(plans) == 2
    assert "Rows Removed by Join Filter" not in json.dumps(plans)
    assert Run.objects.running().count() == 0
