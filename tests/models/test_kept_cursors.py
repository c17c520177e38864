"""Frequent statements share one cursor of a connection, and the connection can still be closed."""

import gc
import weakref

import pytest
from django.db import connection, connections

from sisy.models import Run, Task
from sisy.store.sessions import PREPARED_AFTER, cursor_of
from tests.app import jobs

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL prepares"),
]


@pytest.fixture(autouse=True)
def prepared_session():
    connection.close()
    for _ in range(2 * PREPARED_AFTER + 2):
        Task.run_once(jobs.noop)
    yield
    connection.close()


def test_submissions_share_one_cursor():
    cursor = cursor_of(connections["default"])
    first, second = Task.run_once(jobs.noop, {"n": 1}), Task.run_once(jobs.noop, {"n": 2})
    assert cursor_of(connections["default"]) is cursor
    assert [Run.objects.get(task=task).payload["n"] for task in (first, second)] == [1, 2]


def test_a_new_connection_gets_a_new_cursor():
    before = cursor_of(connections["default"])
    connection.close()
    for _ in range(2 * PREPARED_AFTER):
        Task.run_once(jobs.noop)
    assert cursor_of(connections["default"]) is not before
    assert cursor_of(connections["default"]).connection is connection.connection


def test_a_cursor_that_was_closed_is_replaced():
    cursor_of(connections["default"]).close()
    assert Task.run_once(jobs.noop).pk


def test_the_cursor_does_not_keep_a_forgotten_connection():
    other = connection.copy()
    other.connect()
    cursor_of(other)
    other.close()
    forgotten = weakref.ref(other.connection or other)
    del other
    gc.collect()
    assert forgotten() is None
