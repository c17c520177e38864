"""What a function does in a process of another engine stays the outcome of its run."""

import pytest
from django.db import connection

from sisy.engines.execute import execute_dispatched
from sisy.models import Process, Run, Task
from tests.app import open_jobs
from tests.app.models import Counter
from tests.support.records import scheduled
from tests.testing.test_eager_errors import exits_in_a_callback
from tests.unit import leaving

pytestmark = pytest.mark.django_db(transaction=True)


def carried_out(function):
    """Return a run as it is stored once its engine has carried it out; nothing may be raised."""
    run = scheduled("@yearly", fn=function, engine="some day").run_now()
    execute_dispatched(run.pk)
    assert not Process.objects.exists()
    return Run.objects.get(pk=run.pk)


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (leaving.gathers, "SystemExit"),
        (leaving.plain_gathers, "SystemExit"),
        (leaving.gathers_an_interrupt, "KeyboardInterrupt"),
        (leaving.gathers_what_asyncio_keeps, "Odd"),
        (exits_in_a_callback, "SystemExit"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_any_exception_of_a_function_is_recorded_and_not_raised(function, error):
    run = carried_out(function)
    assert (run.state, run.reason) == ("failed", f"{error}: of its own")
    assert carried_out(leaving.agrees).state == "succeeded"


@pytest.mark.parametrize(
    "function",
    [
        open_jobs.leaves_a_block,
        open_jobs.leaves_a_broken_block,
        open_jobs.leaves_autocommit_off,
        open_jobs.leaves_a_block_in_its_thread,
    ],
    ids=lambda function: function.__name__,
)
def test_an_open_transaction_is_rolled_back_before_the_outcome_is_recorded(function):
    run = carried_out(function)
    assert run.state == "failed"
    assert "left a transaction open on the database 'default'" in run.reason
    assert not connection.in_atomic_block
    assert not Counter.objects.exists()
    assert carried_out(open_jobs.writes).state == "succeeded"
    assert Counter.objects.count() == 1
    assert Task.objects.count() == 2
