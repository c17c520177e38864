"""Connections around user code: none stays behind, and a broken one is not met again."""

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connections

from sisy.models import Run, RunState
from sisy.store.database_thread import DatabaseThread
from tests.app.models import Counter
from tests.support.moments import NOON
from tests.unit.runs import executed

pytestmark = pytest.mark.django_db(transaction=True)


used = []


def look():
    Counter.objects.count()
    used.append(connections["default"])
    assert used[-1].connection is not None


def looks(message):
    look()


def looks_and_fails(message):
    look()
    raise RuntimeError


async def alooks(message):
    await sync_to_async(look)()
    assert await Counter.objects.acount() == 0


async def alooks_and_fails(message):
    await sync_to_async(look)()
    raise RuntimeError


@pytest.fixture(autouse=True)
def nothing_used():
    used.clear()


async def carry_out(pool, function):
    run = Run(pk=5, ready_at=NOON, target_path=f"{__name__}.{function}")
    return await executed(pool, run)


@pytest.mark.parametrize(
    ("function", "state"),
    [
        ("looks", RunState.SUCCEEDED),
        ("looks_and_fails", RunState.FAILED),
        ("alooks", RunState.SUCCEEDED),
        ("alooks_and_fails", RunState.FAILED),
    ],
)
async def test_no_connection_stays_open_after_a_run(pool, function, state):
    outcome = await carry_out(pool, function)
    assert outcome.state == state, outcome.error
    assert [connection.connection for connection in used] == [None]


async def test_the_connection_of_a_thread_is_kept_as_long_as_the_project_wants(pool, monkeypatch):
    monkeypatch.setitem(connections["default"].settings_dict, "CONN_MAX_AGE", None)
    for _ in range(2):
        assert (await carry_out(pool, "looks")).state == RunState.SUCCEEDED
    assert used[0] is used[1]
    assert used[0].connection is not None


@pytest.mark.parametrize("error", [OperationalError, ValueError])
async def test_a_roles_connection_is_reopened_only_after_a_database_error(error):
    def fail():
        look()
        raise error

    used.clear()
    database = DatabaseThread("sisy-test")
    await database.run(look)
    with pytest.raises(error):
        await database.run(fail)
    is_closed = used[0].connection is None
    assert is_closed == (error is OperationalError)
    await database.run(look)
    assert used[0] is used[1] is used[2]
    await database.close()
    assert used[0].connection is None
