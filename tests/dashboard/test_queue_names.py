"""The names of the queues of tasks, which are found without reading all tasks."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from sisy.models import Task
from sisy.reports import queue_names
from sisy.reports.queue_names import queues_of
from tests.support.records import scheduled

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def tasks_in(*queues):
    for queue in queues:
        scheduled(queue=queue)


@pytest.mark.parametrize(
    "queues",
    [(), ("default",), ("mail",), ("default", "mail", "mail", "a"), ("z", "default", "b", "c")],
)
def test_each_queue_is_named_once_in_order(queues):
    tasks_in(*queues)
    assert queues_of(Task.objects.all()) == sorted(set(queues))


def test_many_queues_are_named_as_well(monkeypatch):
    monkeypatch.setattr(queue_names, "MAX_STEPS", 3)
    tasks_in(*(f"queue-{n}" for n in range(9)), "queue-8")
    assert queues_of(Task.objects.all()) == [f"queue-{n}" for n in range(9)]


def test_only_the_queues_of_these_tasks_are_named():
    tasks_in("default", "mail", "other")
    scheduled(queue="paused").pause()
    Task.objects.filter(queue="default").delete()
    assert queues_of(Task.objects.active()) == ["mail", "other"]


@pytest.mark.skipif("connection.vendor == 'mysql'", reason="it has no index of a part of the rows")
def test_an_index_leads_from_one_queue_to_the_next():
    Task.objects.bulk_create(
        Task(label=f"task {n}", target_path="tests.app.jobs.noop") for n in range(2000)
    )
    tasks_in("mail")
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as seen:
        assert queues_of(Task.objects.all()) == ["default", "mail"]
        statements = [each["sql"] for each in seen]
    assert len(statements) == 3
    for sql in statements[1:]:
        with connection.cursor() as cursor:
            plan = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
            cursor.execute(f"{plan} {sql}".replace("%", "%%"))
            assert "sisy_task_queue" in str(cursor.fetchall()), sql
