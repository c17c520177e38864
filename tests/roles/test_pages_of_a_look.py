"""A heartbeat's look reads a few pages, also while another connection holds an old snapshot.

The failure of the field: a poll that reads what was deleted, again and again, until a report ends.
"""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.db.models.functions import Mod

from sisy.models import Process, Role, Task, TaskState, task_with_callable
from sisy.store import due
from tests.app import jobs
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.pages import pages_of_plan
from tests.support.records import worker

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.usefixtures("noon"),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="it says what it reads"),
]

# More than without any plan. How many pages the look itself reads depends on what other tests have
# left in the tables; `make bench-storage` has the bar.
FURTHER_PAGES = 3
TASKS, PLANS = 300, 20


def pages_of(statement, **values):
    """Return how many pages PostgreSQL reads to execute a statement."""
    sql, params = statement.written("postgresql", values)
    with connection.cursor() as cursor:
        for _ in range(2):  # the first time, a session also reads where the indexes begin
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}", params)
            [[found]] = cursor.fetchall()
    return pages_of_plan(found)


def test_a_look_reads_a_few_pages_though_most_tasks_are_retired():
    mine = Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=HOUR)
    moments = {"since": NOON - SECOND, "messages_since": NOON - MINUTE, "due_since": NOON - SECOND}
    # The indexes of a table that was empty would be lower.
    Task.objects.bulk_create(
        task_with_callable(jobs.noop, schedule="0 0 1 1 *") for _ in range(10 * TASKS)
    )
    look = pages_of(due.LOOK_AHEAD, process=mine.pk, **moments)
    unplanned = pages_of(due.ANY_UNPLANNED)
    Task.objects.bulk_create(
        task_with_callable(jobs.noop, schedule="0 0 1 1 *") for _ in range(10 * TASKS)
    )
    Task._base_manager.update(next_run=NOON + DAY)
    ended = Task.objects.annotate(nth=Mod(F("pk"), 10)).exclude(nth=0)
    ended.update(state=TaskState.RETIRED, next_run=None)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sisy_task")
    assert pages_of(due.LOOK_AHEAD, process=mine.pk, **moments) <= look + FURTHER_PAGES
    assert pages_of(due.ANY_UNPLANNED) <= unplanned + FURTHER_PAGES


def test_a_look_reads_a_few_pages_though_all_plans_have_left_their_entries():
    Task.objects.bulk_create(
        task_with_callable(jobs.noop, schedule="0 0 1 1 *") for _ in range(TASKS)
    )
    mine = Process.join(Role.HEARTBEAT, using="default", now=NOON, lease=HOUR)
    worker(NOON, HOUR)
    looked = {"process": mine.pk, "since": NOON - SECOND, "messages_since": NOON - MINUTE}
    Task._base_manager.update(next_run=NOON + 2 * DAY)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sisy_task")  # which counts only other tests' tasks otherwise
    before = pages_of(due.LOOK_AHEAD, due_since=NOON - SECOND, **looked)
    # No dead row can be removed in the transaction that made it, as if a snapshot were held.
    Task._base_manager.update(next_run=NOON - HOUR)
    for _ in range(PLANS):
        Task._base_manager.update(next_run=F("next_run") + timedelta(minutes=1))
    Task._base_manager.update(next_run=NOON + DAY)
    after = pages_of(due.LOOK_AHEAD, due_since=NOON - SECOND, **looked)
    assert after <= before + FURTHER_PAGES
    from_the_beginning = pages_of(due.LOOK_AHEAD, due_since=due.BEGINNING, **looked)
    assert from_the_beginning > 10 * FURTHER_PAGES + after
