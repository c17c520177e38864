"""PostgreSQL finds the runs of outcomes by their keys, whatever its statistics say."""

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


def test_outcomes_are_not_compared_with_all_running_runs():
    Task.bulk_run_once(jobs.noop, [{"n": n} for n in range(8000)])
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sisy_run")  # which sees no run that is running
    runs = claim(worker(), ["default"], 500, NOON)
    plans = []

    def explained(execute, sql, params, many, context):
        if "WITH finished" in sql:
            execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params, many, context)
            plans.extend(context["cursor"].fetchone()[0])
            return execute("SELECT 1 WHERE false", None, many, context)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explained), transaction.atomic():
        finish("default", [(run, outcome(NOON)) for run in runs])
    [plan] = plans
    assert "Rows Removed by Join Filter" not in json.dumps(plan)
    assert Run.objects.running().count() == 0
