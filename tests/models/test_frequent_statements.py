"""Statements that are sent often take a shorter way, and people can still watch and stop them."""

import threading

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, connection, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from sisy.models import Task
from sisy.store.sessions import PREPARED_AFTER
from sisy.store.statements import fetch
from tests.app import jobs

OFTEN = 2 * PREPARED_AFTER + 2

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor != "postgresql", reason="it alone keeps plans of prepared statements"
    ),
]


@pytest.fixture(autouse=True)
def prepared_session():
    """Open a session that has prepared the submission of a run."""
    connection.close()
    for _ in range(OFTEN):
        Task.run_once(jobs.noop)
    yield
    connection.close()


def test_execute_wrappers_see_a_prepared_submission():
    seen = []

    def note(execute, sql, params, many, context):
        seen.append((sql.split()[0], many, context["connection"].alias))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        Task.run_once(jobs.noop)
    assert seen == [("WITH", False, "default")]


def test_an_execute_wrapper_may_forbid_a_prepared_submission():
    def forbid(execute, sql, params, many, context):
        raise PermissionError("no queries here")

    with connection.execute_wrapper(forbid), pytest.raises(PermissionError):
        Task.run_once(jobs.noop)


def test_the_log_of_queries_has_a_prepared_submission_with_its_values():
    with CaptureQueriesContext(connection) as queries:
        Task.run_once(jobs.noop, label="in the log")
    assert [query["sql"].split()[0] for query in queries] == ["WITH"]
    assert "in the log" in queries[0]["sql"]


def test_a_broken_transaction_takes_no_prepared_submission():
    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(TransactionManagementError):
            Task.run_once(jobs.noop)


def test_an_error_of_a_prepared_statement_breaks_the_transaction():
    for _ in range(OFTEN):
        fetch(connections_own(), "SELECT 1 / %s::int", [1])
    with transaction.atomic():
        with pytest.raises(DatabaseError):
            fetch(connections_own(), "SELECT 1 / %s::int", [0])
        assert connection.needs_rollback
        assert isinstance(connection.rollback_exc, DatabaseError)


def test_a_connection_of_another_thread_sends_no_prepared_statement():
    errors = []

    def send(lent):
        from django.db import connections

        connections["default"] = lent
        try:
            Task.run_once(jobs.noop)
        except DatabaseError as error:
            errors.append(str(error))
        finally:
            del connections["default"]

    thread = threading.Thread(target=send, args=[connections_own()])
    thread.start()
    thread.join()
    assert "can only be used in that same thread" in errors[0]


def connections_own():
    from django.db import connections

    return connections["default"]


async def test_a_prepared_submission_is_forbidden_in_a_coroutine():
    connection_of_this_thread = connections_own()
    with pytest.raises(SynchronousOnlyOperation):
        Task.run_once(jobs.noop)
    assert connection_of_this_thread is connections_own()


def test_a_connection_that_fails_its_health_check_is_opened_again():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (process,) = cursor.fetchone()
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [process])
    finally:
        other.close()
    # As at the beginning of a request, with CONN_HEALTH_CHECKS.
    connection.health_check_enabled, connection.health_check_done = True, False
    Task.run_once(jobs.noop)
    assert Task.objects.count() == OFTEN + 1
