"""Hot statements are prepared where that is safe; nobody can tell but by the time they take."""

import sys
from contextlib import suppress

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models.signals import post_save
from django.test.utils import CaptureQueriesContext

from sisy.models import Run, Task
from sisy.store.sessions import PREPARED_AFTER
from sisy.store.submissions import insert_runs
from tests.app import jobs
from tests.models.test_submitting_quickly import KINDS, heard, held
from tests.support.moments import NOON

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

OFTEN = 2 * PREPARED_AFTER + 2
on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="it alone keeps the plans of prepared statements"
)


@pytest.fixture(autouse=True)
def new_session():
    connection.close()
    yield
    connection.close()


def prepared():
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [statement for (statement,) in cursor.fetchall()]


@on_postgresql
def test_a_frequent_submission_is_prepared_once_per_session():
    task = Task.run_once(jobs.noop)
    for _ in range(OFTEN):
        Task.run_once(jobs.noop)
        task.run_now()
        Task.objects.get(pk=task.pk)
    pair, alone = sorted(prepared())
    assert pair.startswith('WITH inserted AS (INSERT INTO "sisy_task"')
    assert alone.startswith('WITH stored AS (INSERT INTO "sisy_run"')


@on_postgresql
def test_a_rare_submission_is_not_prepared():
    for _ in range(PREPARED_AFTER):
        Task.run_once(jobs.noop)
    assert prepared() == []


@on_postgresql
def test_the_projects_statements_are_sent_unchanged():
    before = connection.connection
    for _ in range(OFTEN):
        Task.run_once(jobs.noop)
    raw = connection.connection
    assert before in (None, raw)
    assert raw.prepare_threshold is None
    assert raw.cursor_factory is connection.get_connection_params()["cursor_factory"]


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_prepared_submission_stores_what_django_stores(kind):
    quick = [Task.run_once(jobs.noop, **kind) for _ in range(OFTEN)]
    post_save.connect(heard, sender=Task)
    try:
        slow = Task.run_once(jobs.noop, **kind)
    finally:
        post_save.disconnect(heard, sender=Task)
    assert all(held(task) == held(slow) for task in quick)
    of_slow = held(Run.objects.get(task=slow))
    assert all(held(Run.objects.get(task=task)) == of_slow for task in quick)


@on_postgresql
def test_each_submission_is_one_query_for_people_who_count_them():
    task = Task.run_once(jobs.noop)
    for submit in (lambda: Task.run_once(jobs.noop), task.run_now):
        for _ in range(OFTEN):
            with CaptureQueriesContext(connection) as queries:
                submit()
            assert len(queries) == 1


@on_postgresql
@pytest.mark.parametrize("forget", ["DISCARD ALL", "DEALLOCATE ALL"])
def test_prepared_statements_may_be_discarded(forget):
    for _ in range(OFTEN):
        Task.run_once(jobs.noop)
    with connection.cursor() as cursor:
        cursor.execute(forget)
    for _ in range(OFTEN):
        Task.run_once(jobs.noop)
    assert Task.objects.count() == 2 * OFTEN


def test_after_an_error_a_transaction_can_only_be_rolled_back():
    task = Task.run_once(jobs.noop)
    again = [task.new_run(now=NOON, due_at=NOON) for _ in range(2)]
    insert_runs("default", again[:1])
    with transaction.atomic():
        Task.run_once(jobs.noop, label="rolled back")
        with suppress(DatabaseError):
            insert_runs("default", again[1:])
        assert connection.needs_rollback
    assert not Task.objects.filter(label="rolled back").exists()


@on_postgresql
def test_a_submission_takes_few_steps():
    task = Task.run_once(jobs.noop)
    data = [{"n": n} for n in range(100)]
    for submit, most in (
        (lambda: Task.run_once(jobs.noop), 340),
        (task.run_now, 350),
        (lambda: Task.bulk_run_once(jobs.noop, data), 35 * len(data)),
    ):
        for _ in range(OFTEN):
            submit()
        assert (count := calls_of(submit)) <= most, count


def calls_of(step):
    """Return how many functions are called: unlike seconds, the same on any host."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        step()
    finally:
        sys.setprofile(before)
    return count
