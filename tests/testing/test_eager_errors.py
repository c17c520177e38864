"""SISY_EAGER: whatever a function does is recorded, and only Ctrl-C reaches its caller."""

import asyncio
import sys

import pytest
from asgiref.sync import sync_to_async
from django.db import IntegrityError, connection, transaction

from sisy.models import Process, Run, Task, task_with_callable
from sisy.testing import sisy_time
from tests.app import open_jobs
from tests.app.models import Counter, NamedCounter
from tests.unit import leaving


@pytest.fixture(autouse=True)
def eager(settings):
    settings.SISY_EAGER = True


def outcome():
    [run] = Run.objects.all()
    assert not Process.objects.exists()
    return run.state, run.reason


class Odd(BaseException):
    pass


def exits(message):
    sys.exit("of its own")


async def aexits(message):
    sys.exit("of its own")


def interrupts(message):
    raise KeyboardInterrupt("of its own")


async def ainterrupts(message):
    raise KeyboardInterrupt("of its own")


async def interrupts_in_a_task(message):
    await asyncio.gather(leaving.leave(KeyboardInterrupt))


async def is_odd(message):
    raise Odd("of its own")


async def cancels_itself(message):
    raise asyncio.CancelledError("of its own")


async def exits_in_a_callback(message):
    asyncio.get_running_loop().call_soon(sys.exit, "of its own")
    await asyncio.sleep(600)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (exits, "SystemExit: of its own"),
        (aexits, "SystemExit: of its own"),
        (leaving.gathers, "SystemExit: of its own"),
        (leaving.plain_gathers, "SystemExit: of its own"),
        (exits_in_a_callback, "SystemExit: of its own"),
        (is_odd, "Odd: of its own"),
        (cancels_itself, "CancelledError: of its own"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.django_db
def test_a_base_exception_is_a_recorded_failure(function, reason):
    Task.run_once(function)
    assert outcome() == ("failed", reason)


@pytest.mark.parametrize("function", [interrupts, ainterrupts, interrupts_in_a_task])
@pytest.mark.django_db
def test_ctrl_c_is_recorded_and_reaches_the_caller(function):
    with pytest.raises(KeyboardInterrupt):
        Task.run_once(function)
    state, reason = outcome()
    assert state == "failed"
    assert reason.startswith("KeyboardInterrupt")


@pytest.mark.django_db
def test_ctrl_c_ends_a_test_that_sets_the_time(settings):
    settings.SISY_EAGER = False
    with sisy_time("2026-05-05 12:00", "UTC") as time:
        task_with_callable(interrupts, schedule="* * * * *").save()
        with pytest.raises(KeyboardInterrupt):
            time.advance(minutes=1)
    assert Run.objects.get().state == "failed"


OPEN = [
    open_jobs.leaves_a_block,
    open_jobs.leaves_nested_blocks,
    open_jobs.leaves_a_broken_block,
    open_jobs.leaves_a_block_to_be_rolled_back,
    open_jobs.leaves_a_block_in_its_thread,
]


@pytest.mark.parametrize("function", OPEN, ids=lambda function: function.__name__)
@pytest.mark.django_db
def test_in_a_test_case_only_the_functions_open_blocks_are_rolled_back(function):
    Counter.objects.create(label="of the test")
    depth = len(connection.atomic_blocks)
    Task.run_once(function)
    assert len(connection.atomic_blocks) == depth
    state, reason = outcome()
    assert state == "failed"
    assert "left a transaction open on the database 'default'" in reason
    assert [counter.label for counter in Counter.objects.all()] == ["of the test"]


@pytest.mark.parametrize("function", OPEN, ids=lambda function: function.__name__)
@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_the_connection_is_sound_again(function):
    Task.run_once(function)
    assert not connection.in_atomic_block
    assert outcome()[0] == "failed"
    with transaction.atomic(durable=True):
        Counter.objects.create(label="of the test")
    assert [counter.label for counter in Counter.objects.all()] == ["of the test"]


def breaks_its_transaction(message):
    Counter.objects.create(label="before")
    NamedCounter.objects.create(name="twice")
    NamedCounter.objects.create(name="twice")


def swallows_a_broken_transaction(message):
    try:
        breaks_its_transaction(message)
    except IntegrityError:
        return


def rolls_all_back(message):
    transaction.set_rollback(True)


async def abreaks_its_transaction(message):
    await sync_to_async(breaks_its_transaction)(message)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (breaks_its_transaction, "IntegrityError"),
        (abreaks_its_transaction, "IntegrityError"),
        (swallows_a_broken_transaction, "TransactionLeftOpen"),
        (rolls_all_back, "TransactionLeftOpen"),
    ],
)
@pytest.mark.django_db
def test_breaking_the_tests_transaction_fails_the_run_but_not_the_test(function, reason):
    Counter.objects.create(label="of the test")
    Task.run_once(function)
    state, why = outcome()
    assert (state, why.partition(":")[0]) == ("failed", reason)
    assert [counter.label for counter in Counter.objects.all()] == ["of the test"]


def is_durable(message):
    with transaction.atomic(durable=True):
        Counter.objects.create(label="durable")


@pytest.mark.django_db
def test_a_durable_block_can_be_entered_in_a_test_case(settings):
    task = task_with_callable(is_durable, schedule="@yearly")
    task.save()
    task.run_now()
    assert outcome() == ("succeeded", "")
