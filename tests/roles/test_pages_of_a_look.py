"""A heartbeat's look reads a few pages, also while another connection holds an old snapshot.

The failure of the field: a poll that reads what was deleted, again and again, until a report ends.
"""

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F

from sisy.models import Process, Role, Task, task_with_callable
from sisy.store import due
from tests.app import jobs
from tests.support.moments import DAY, HOUR, NOON, SECOND
from tests.support.records import worker

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("noon"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="it says what it reads"),
]

MAX_PAGES = 10
TASKS, PLANS = 300, 20


def pages_of(statement, **values):
    """Return how many pages PostgreSQL reads to execute a statement."""
    sql, params = statement.written("postgresql", values)
    with connection.cursor() as cursor:
        for _ in range(2):  # the first time, a session also reads where the indexes begin
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
            [[found]] = cursor.fetchall()
    plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def test_a_look_reads_a_few_pages_though_all_plans_have_left_their_entries():
    # No dead row can be removed in the transaction that made it, as if a snapshot were held.
    Task.objects.bulk_create(
        task_with_callable(jobs.noop, schedule="0 0 1 1 *") for _ in range(TASKS)
    )
    Task._base_manager.update(next_run=NOON - HOUR)
    for _ in range(PLANS):
        Task._base_manager.update(next_run=F("next_run") + timedelta(minutes=1))
    Task._base_manager.update(next_run=NOON + DAY)
    mine = Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=HOUR)
    worker(NOON, HOUR)
    looked = {"process": mine.pk, "since": NOON - SECOND}
    assert pages_of(due.LOOK_AHEAD, due_since=NOON - SECOND, **looked) <= MAX_PAGES
    assert pages_of(due.LOOK_AHEAD, due_since=due.BEGINNING, **looked) > 3 * MAX_PAGES
