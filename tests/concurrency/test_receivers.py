"""What receivers of signals do ends no thread of Sisy, and spoils none of its connections."""

import threading
from contextlib import contextmanager
from functools import partial

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.db.models.signals import post_save

from sisy import signals
from sisy.exceptions import TransactionLeftOpen, UserCodeExited
from sisy.models import Run, Task
from sisy.runtime import signal_dispatch
from sisy.store.database_thread import DatabaseThread
from tests.app import jobs, open_jobs
from tests.app.models import Counter
from tests.roles.at_work import at_work
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


class Odd(BaseException):
    pass


def leaves(error, **sent):
    raise error


class Callable:
    """A receiver without a name of its own."""

    def __call__(self, **sent):
        raise SystemExit("of its own")


async def aleaves(**sent):
    raise SystemExit("of its own")


def only_begins(**sent):
    open_jobs.only_begins(None)


def leaves_a_block(**sent):
    open_jobs.leaves_a_block(None)


@contextmanager
def receiving(*receivers, signal=signals.run_finished, sender=Run):
    for receiver in receivers:
        signal.connect(receiver, sender=sender)
    try:
        yield
    finally:
        for receiver in receivers:
            signal.disconnect(receiver, sender=sender)


BAD = [
    partial(leaves, SystemExit("of its own")),
    partial(leaves, KeyboardInterrupt("of its own")),
    partial(leaves, GeneratorExit("of its own")),
    partial(leaves, Odd("of its own")),
    partial(leaves, RuntimeError("of its own")),
    Callable(),
    aleaves,
    leaves_a_block,
]


def logged(caplog):
    return [one for one in caplog.records if one.name == "django.dispatch"]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_a_failing_receiver_is_logged_and_the_others_are_called(bad, caplog, settings):
    settings.SISY_POLL_INTERVAL = 0.05
    told = []

    def writes(run, **sent):
        Counter.objects.create(label=run.label)
        told.append(threading.current_thread().name)

    with receiving(bad, writes), at_work():
        for n in range(3):
            submit_quietly()
            wait_until(lambda n=n: len(told) > n)
    signal_dispatch.flush(10)
    assert told == ["sisy-signals"] * 3
    assert Counter.objects.count() == 3
    records = logged(caplog)
    assert [record.levelname for record in records] == ["ERROR"] * 3
    text = str(records[0].exc_info[1])
    assert "of its own" in text or "left a transaction open" in text


def submit_quietly():
    """Put a run into the ledger as somebody in another process would."""
    task = Task.for_once(jobs.noop).task
    task.save()
    task.new_run(now=task.created_at).save()


def test_in_the_thread_of_a_view_its_transaction_stays_open():
    with receiving(leaves_a_block, signal=signals.run_planned), transaction.atomic():
        Counter.objects.create(label="of the view")
        signals.run_planned.send_robust(Run, run=None)
        assert len(connection.atomic_blocks) == 1
    assert Counter.objects.get().label == "of the view"
    assert not connection.in_atomic_block


def test_in_the_main_thread_ctrl_c_passes():
    with receiving(BAD[1]), pytest.raises(KeyboardInterrupt):
        signals.run_finished.send_robust(Run, run=None)


@pytest.mark.parametrize(
    ("receiver", "error"),
    [(BAD[0], UserCodeExited), (only_begins, TransactionLeftOpen)],
    ids=["exits", "leaves a block"],
)
def test_a_receiver_of_djangos_signals_ends_no_thread_of_a_role(receiver, error):
    """What a role stores, it stores in its own thread; somebody may listen to ``post_save``."""
    database = DatabaseThread("sisy-test")

    async def steps():
        with receiving(receiver, signal=post_save, sender=Counter), pytest.raises(error):
            await database.run(write)
        await database.run(write)
        await database.close()

    async_to_sync(steps)()
    assert Counter.objects.filter(label="a step").exists()


def write():
    Counter.objects.create(label="a step")
