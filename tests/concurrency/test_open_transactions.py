"""A function that leaves a transaction open has failed, and harms nothing that comes after it."""

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, connections

from sisy.execution import ProcessPool
from sisy.models import RunState
from tests.app import open_jobs as jobs
from tests.app.models import Counter
from tests.unit.runs import by_name, executed, run_of

pytestmark = pytest.mark.django_db(transaction=True)

REASON = (
    "TransactionLeftOpen: The function left a transaction open on the database 'default'. Sisy "
    "rolled it back, including everything written in it. Close every transaction before the "
    'function returns, for example by using "with transaction.atomic():".'
)


@pytest.fixture
def second(tmp_path):
    """Let there be another database, in a file: Django closes none in memory."""
    own = {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": tmp_path / "second.sqlite3",
        "OPTIONS": {},
    }
    connections.settings["second"] = {**connections.settings["default"], **own}
    yield
    del connections.settings["second"]


carry_out = async_to_sync(executed)


def goes_on(pool):
    """Check that what comes next finds sound connections, and that its writes last."""
    Counter.objects.all().delete()
    for function in (jobs.writes, jobs.awrites, jobs.writes):
        outcome = carry_out(pool, run_of(function))
        assert (outcome.state, outcome.reason) == (RunState.SUCCEEDED, "")
    assert Counter.objects.count() == 4


@pytest.mark.parametrize("function", jobs.WRONG, ids=by_name)
def test_a_function_that_leaves_a_transaction_open_fails_alone(pool, function):
    """The next run over the same connection succeeds."""
    carry_out(pool, run_of(jobs.writes))  # over a connection that is kept
    outcome = carry_out(pool, run_of(function))
    assert (outcome.state, outcome.reason) == (RunState.FAILED, REASON)
    assert outcome.error_class == "sisy.exceptions.TransactionLeftOpen"
    assert Counter.objects.count() == 1
    goes_on(pool)


@pytest.mark.skipif(connection.vendor == "mysql", reason="its clients cannot tell of raw BEGIN")
def test_a_transaction_unknown_to_django_is_found(pool):
    outcome = carry_out(pool, run_of(jobs.begins_by_hand))
    assert (outcome.state, outcome.reason) == (RunState.FAILED, REASON)
    goes_on(pool)


@pytest.mark.parametrize("function", jobs.FAILING, ids=by_name)
def test_a_function_that_raises_fails_with_its_own_error(pool, function):
    outcome = carry_out(pool, run_of(function))
    assert (outcome.state, outcome.reason) == (RunState.FAILED, "ValueError: of its own")
    goes_on(pool)


def test_every_database_is_checked_and_named(pool, second):
    carry_out(pool, run_of(jobs.writes))
    outcome = carry_out(pool, run_of(jobs.leaves_a_block_of_two_databases))
    assert outcome.state == RunState.FAILED
    assert "on the databases 'default' and 'second'." in outcome.reason
    goes_on(pool)


def test_a_transaction_that_was_ended_on_purpose_is_a_success(pool):
    outcome = carry_out(pool, run_of(jobs.rolls_back_on_purpose))
    assert (outcome.state, outcome.reason) == (RunState.SUCCEEDED, "")
    assert Counter.objects.count() == 0
    if connection.vendor != "mysql":  # where nobody can tell whether it was committed
        outcome = carry_out(pool, run_of(jobs.writes_and_leaves_autocommit_off))
        assert (outcome.state, outcome.reason) == (RunState.SUCCEEDED, "")
    goes_on(pool)


def test_in_a_child_process_it_is_the_same(pool_of):
    pool = pool_of(ProcessPool, 1)
    for _ in range(2):
        outcome = carry_out(pool, run_of(jobs.only_begins))
        assert (outcome.state, outcome.reason) == (RunState.FAILED, REASON)
        assert carry_out(pool, run_of(jobs.asks)).result is False
