"""A heartbeat reads only the columns of due tasks that the plan needs."""

import pytest
from django.db import connection
from django.db.models import JSONField
from django.test.utils import CaptureQueriesContext

from sisy.heartbeat import tick
from sisy.models import Run, Task, task_with_callable
from sisy.records.task_fields import DEFERRED_FIELDS
from tests.app import jobs
from tests.support.moments import MINUTE, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def test_planning_reads_no_deferred_column_neither_at_once_nor_later():
    for n in range(3):
        task_with_callable(jobs.noop, label=f"task {n}", schedule="* * * * *").save()
    with CaptureQueriesContext(connection) as queries:
        tick("default", NOON + MINUTE)
    assert Run.objects.count() == 3
    table, quote = Task._meta.db_table, connection.ops.quote_name
    deferred = [f"{quote(table)}.{quote(name)}" for name in sorted(DEFERRED_FIELDS)]
    read = [one["sql"].partition(" FROM ")[0] for one in queries if "SELECT" in one["sql"]]
    of_tasks = [
        selected for selected in read if f"{quote(table)}.{quote('planned_until')}" in selected
    ]
    assert of_tasks
    assert [name for name in deferred if any(name in selected for selected in read)] == []


def test_every_column_that_holds_json_is_deferred():
    columns = Task._meta.concrete_fields
    held = {column.name for column in columns if isinstance(column, JSONField)}
    assert held == {"_extra_data", "pruned", "declaration"}
    assert held <= DEFERRED_FIELDS
