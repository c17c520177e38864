"""On PostgreSQL, a renewal of low-water marks reads what is new, and finds what a whole one finds.

Without that, a poll reads what was deleted, again and again, until a report or a backup ends.
"""

import random
from contextlib import ExitStack, contextmanager

import psycopg
import pytest
from django.db import connection

from sisy.models import QueuedRun
from sisy.runtime.loop import RENEWAL_INTERVAL
from sisy.store import entries
from sisy.store.levels import Level, first_of_each_priority
from sisy.store.statements import MARK_SLACK
from sisy.worker.low_water import WHOLE_INTERVAL, LowWaterMarks
from tests.roles.test_low_water import Claimer, queued
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.pages import reading_pages

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="others read whole queues"),
]

RENEWAL = RENEWAL_INTERVAL * SECOND
# Of a poll that renews the marks. It reads 4, and 2 more for each transaction that is in progress:
# other tests on the same server have some. `make bench-storage` has the bar.
MAX_PAGES = 60
DEAD = 9000


@contextmanager
def other_session():
    """Open a session of its own, in a transaction that sees one moment if it reads first."""
    with psycopg.connect(
        **{
            name: value
            for name, value in connection.get_connection_params().items()
            if name in ("dbname", "user", "host", "port", "password")
        }
    ) as session:
        yield session
        session.rollback()


def store_entries(cursor, *, count, ready_at=NOON, priority=0, queue="default", first=1):
    """Store entries without runs, which only the marks look at."""
    cursor.execute(
        f"INSERT INTO sisy_queued_run ({entries.QUEUED_COLUMNS}) "
        "SELECT 1, n, '', %s, %s, %s, false, false FROM generate_series(%s::bigint, %s) AS n",
        [queue, priority, ready_at, first, first + count - 1],
    )


@pytest.fixture
def claimer(clocks):
    """Return a worker's claims, just after it has renewed its marks from the whole queue."""
    return Claimer("default")


@pytest.fixture(params=["never analysed", "analysed while full", "analysed while empty"])
def dead_entries(request, transactional_db):
    """Leave deleted entries that a snapshot keeps, with statistics that are right or wrong."""
    with ExitStack() as stack:
        stack.callback(QueuedRun.objects.all().delete)
        report = stack.enter_context(other_session())
        report.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        report.execute("SELECT count(*) FROM sisy_run")
        with connection.cursor() as cursor:
            for first in range(1, DEAD, 100):
                store_entries(cursor, count=100, ready_at=NOON - MINUTE, first=first)
            if request.param == "analysed while full":
                cursor.execute("ANALYZE sisy_queued_run")
            cursor.execute("DELETE FROM sisy_queued_run")
            if request.param == "analysed while empty":
                cursor.execute("ANALYZE sisy_queued_run")
        yield


@pytest.mark.usefixtures("dead_entries")
def test_a_poll_that_renews_the_marks_reads_a_few_pages_under_a_held_snapshot(clocks):
    with reading_pages() as whole:
        claimer = Claimer("default")  # it renews from the whole queue
    assert sum(pages for pages, _ in whole) > 2 * MAX_PAGES
    for _ in range(3):
        clocks.go_on(RENEWAL)
        with reading_pages() as found:
            assert claimer.claim() == []
        assert sum(pages for pages, _ in found) <= MAX_PAGES, found


@pytest.mark.usefixtures("dead_entries")
def test_a_transaction_that_writes_for_hours_does_not_make_a_renewal_read_more(clocks):
    with other_session() as writer:
        writer.execute("CREATE TEMPORARY TABLE import_of_hours (n int)")
        claimer = Claimer("default")
        with connection.cursor() as cursor:
            store_entries(cursor, count=DEAD, ready_at=NOON)
            cursor.execute("DELETE FROM sisy_queued_run")
        clocks.go_on(RENEWAL)
        claimer.claim()  # reads what is new
        clocks.go_on(RENEWAL)
        with reading_pages() as found:
            claimer.claim()
        assert sum(pages for pages, _ in found) <= MAX_PAGES, found


def test_a_run_of_a_transaction_that_lasts_an_hour_is_claimed_at_the_renewal(claimer, clocks):
    run = queued(NOON)
    QueuedRun.objects.all().delete()
    with other_session() as writer:
        writer.execute(
            f"INSERT INTO sisy_queued_run ({entries.QUEUED_COLUMNS}) "
            f"SELECT {entries.QUEUED_VALUES} FROM sisy_run WHERE id = %s",
            [run.pk],
        )
        for _ in range(20):
            clocks.go_on(RENEWAL)
            other = queued(clocks.moment)
            assert claimer.claim() == [other]
        writer.commit()
    clocks.go_on(RENEWAL)
    assert claimer.claim() == [run]


def test_a_run_that_another_worker_locked_and_left_is_claimed_at_the_renewal(claimer, clocks):
    first = queued(NOON)
    with other_session() as worker:
        worker.execute("SELECT * FROM sisy_queued_run WHERE run_id = %s FOR UPDATE", [first.pk])
        clocks.go_on(RENEWAL)
        later = queued(clocks.moment)
        assert claimer.claim() == [later]  # passes over the first one, and so does the mark
    clocks.go_on(SECOND)
    assert claimer.claim() == []
    clocks.go_on(SECOND)
    assert claimer.claim() == [first]


def test_a_run_that_was_there_before_the_last_renewal_is_found_within_a_minute(claimer, clocks):
    # As if the database had lost transactions, and used their numbers again.
    run = queued(NOON)
    marks = claimer.session._marks
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_snapshot()::text")
        [marks._seen] = cursor.fetchone()
    marks._renewed["default"][0] = Level("default", 0, NOON + HOUR)
    marks._levels["default"] = dict(marks._renewed["default"])
    clocks.go_on(RENEWAL)
    assert claimer.claim() == []
    clocks.go_on(WHOLE_INTERVAL * SECOND)
    assert claimer.claim() == [run]


@pytest.mark.parametrize("seed", range(4))
def test_a_renewal_finds_what_a_reading_of_the_whole_queues_finds(clocks, seed):
    """Random entries of random transactions, some of which last, and some of which roll back."""
    draw = random.Random(seed)
    queues, priorities = ["default", "mails", "other"], [-5, 0, 3]
    marks = LowWaterMarks("default")
    marks.renew(queues, clocks.moment)
    with ExitStack() as stack:
        stack.callback(QueuedRun.objects.all().delete)
        sessions = [stack.enter_context(other_session()) for _ in range(3)]
        for step in range(60):
            session = draw.choice(sessions)
            ready_at = clocks.moment + draw.choice([-HOUR, -SECOND, SECOND, 0 * SECOND, MINUTE])
            level = {"queue": draw.choice(queues), "priority": draw.choice(priorities)}
            store_entries(
                session, count=draw.choice([1, 3]), ready_at=ready_at, first=step * 10, **level
            )
            draw.choice([session.commit, session.rollback, int, int])()
            if step % 3 == 0:
                with connection.cursor() as cursor:
                    cursor.execute(
                        "DELETE FROM sisy_queued_run WHERE run_id %% 3 = %s", [draw.randrange(3)]
                    )
            if step % 5 == 0:
                clocks.go_on(SECOND)
                marks.renew(queues, clocks.moment)
                for queue in queues:
                    first = {one.priority: one for one in first_of_each_priority("default", queue)}
                    for level in marks.levels(queue):
                        latest = clocks.moment - MARK_SLACK
                        expected = first.pop(level.priority, None)
                        since = min(expected.since, latest) if expected else latest
                        assert level.since == since
                    assert not first, "a level is missing"
        for session in sessions:
            session.rollback()
