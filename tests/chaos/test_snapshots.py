"""The snapshot that another connection holds: it is one, and is held until it is released."""

import pytest
from django.db import connection

from sisy.models import Queue
from tests.chaos import snapshots
from tests.chaos.snapshots import BEGIN, Snapshots
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def held(monkeypatch):
    """Return a snapshot, and what it saw each time."""
    monkeypatch.setattr(snapshots, "LOOK", 0.05)
    seen, counts = [], snapshots._counts

    def noted():
        seen.append(counts())
        return seen[-1]

    monkeypatch.setattr(snapshots, "_counts", noted)
    held = Snapshots()
    yield held, seen
    held.release()


def test_a_snapshot_does_not_see_what_is_written_while_it_is_held(held):
    held, seen = held
    held.hold()
    wait_until(lambda: seen, "it has read")
    Queue.objects.create(name="later")
    held.release()
    assert [each["Queue"] for each in seen] == [0, 0]
    assert held.error is None
    [(start, end)] = held.held
    assert start < end


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_snapshot_that_sees_what_is_written_is_an_error(held, monkeypatch):
    monkeypatch.setitem(BEGIN, connection.vendor, ["SELECT 1"])
    held, seen = held
    held.hold()
    wait_until(lambda: seen, "it has read")
    Queue.objects.create(name="later")
    held.release()
    assert "no snapshot" in str(held.error)


def test_a_snapshot_that_the_database_ends_is_followed_by_another(held, monkeypatch):
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no connections to end")
    held, seen = held
    held.hold()
    wait_until(lambda: seen, "it has read")
    with connection.cursor() as cursor:
        end = {"postgresql": "SELECT pg_terminate_backend(%s)", "mysql": "KILL %s"}
        cursor.execute(end[connection.vendor], [held.backend])
    wait_until(lambda: len(seen) > 1, "it has read again")
    held.release()
    assert (held.error, len(held.held)) == (None, 2)
