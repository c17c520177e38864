"""A heartbeat reads what plans have left behind at most once in two seconds, also at a beat."""

import pytest
from django.db import connection
from django.db.models import F

from sisy.heartbeat import Heartbeat
from sisy.models import Task, task_with_callable
from tests.app import jobs
from tests.support.moments import DAY, HOUR, MINUTE, NOON, SECOND
from tests.support.pages import reading_pages

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="it says what it reads"),
]

TASKS, PLANS = 300, 20


def pages_of_due_tasks(heartbeat):
    """Let the heartbeat make a pass, and return the pages that its searches for due tasks read."""
    with reading_pages() as found:
        current = heartbeat._pass()
    return current, [pages for pages, sql in found if "next_run BETWEEN" in sql]


def test_a_beat_reads_due_tasks_from_the_mark(clocks):
    Task.objects.bulk_create(
        task_with_callable(jobs.noop, schedule="0 0 1 1 *") for _ in range(TASKS)
    )
    heartbeat = Heartbeat("default")
    for _ in range(2):
        heartbeat._pass()
    # No dead row can be removed in the transaction that made it, as if a snapshot were held.
    Task._base_manager.update(next_run=NOON - HOUR)
    for _ in range(PLANS):
        Task._base_manager.update(next_run=F("next_run") + MINUTE)
    Task._base_manager.update(next_run=NOON + DAY)
    heartbeat._due_mark.reset()
    clocks.go_on(SECOND)
    heartbeat._pass()
    clocks.go_on(MINUTE, steady=SECOND)  # a beat, but no renewal of the mark yet
    current, pages = pages_of_due_tasks(heartbeat)
    assert current.tick is not None
    assert pages
    assert max(pages) < 20
