"""Outside a transaction, PostgreSQL stores a task and its batch of runs with one statement."""

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from sisy import signals
from sisy.models import OnLost, Run, Task
from sisy.records.small_tables import QueuedRun
from tests.app import jobs
from tests.app.models import Counter
from tests.support import small_tables
from tests.support.moments import HOUR, NOON

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

ODD = "100 % of 'it', \"quoted\" \\ %s %(a)s {} ünïcode"
DATA = [{"n": 1}, {}, {"text": ODD, "list": [1, None, True, 1.0]}]
KINDS = {
    "plain": {},
    "delayed": {"delay_until": NOON + HOUR},
    "policies": {"timeout": timedelta(minutes=3), "on_lost": OnLost.FAIL, "priority": -7},
    "labelled": {"label": ODD, "queue": "slow"},
    "one after the other": {"overlap": "buffer_all"},
}


def columns(record):
    return {
        field.attname: getattr(record, field.attname)
        for field in record._meta.concrete_fields
        if field.attname not in ("id", "task_id")
    }


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("is_method", [False, True])
def test_a_batch_is_stored_as_it_is_in_a_transaction(kind, is_method):
    fn = Counter.objects.create(label="a").tick if is_method else jobs.noop
    for _ in range(2):  # the second one uses a template that was known
        alone = Task.bulk_run_once(fn, DATA, **kind)
    with transaction.atomic():
        within = Task.bulk_run_once(fn, DATA, **kind)
    stored = [list(Run.objects.filter(task=task).order_by("pk")) for task in (alone, within)]
    assert [run.payload for run in stored[0]] == DATA
    assert [columns(run) for run in stored[0]] == [columns(run) for run in stored[1]]
    kept = [Task.objects.get(pk=task.pk) for task in (alone, within)]
    assert columns(kept[0]) == columns(kept[1]) == columns(alone)
    assert QueuedRun.objects.filter(task_id=alone.pk).count() == len(DATA)
    assert small_tables.disagreements() == []


@pytest.mark.skipif(connection.vendor != "postgresql", reason="others take several statements")
def test_a_batch_takes_one_statement_outside_a_transaction():
    Task.bulk_run_once(jobs.noop, DATA)
    with CaptureQueriesContext(connection) as queries:
        Task.bulk_run_once(jobs.noop, DATA)
    assert len(queries) == 1


def test_a_task_stored_with_its_batch_can_be_changed_and_saved():
    task = Task.bulk_run_once(jobs.noop, DATA)
    assert (task.changed_columns(), task._state.adding) == (frozenset(), False)
    task.userdata["n"] = 2
    task.save()
    assert Task.objects.get().userdata == {"n": 2}


def test_signals_get_the_runs_of_a_batch_with_their_task():
    queued = []

    def hear(*, runs, **kwargs):
        queued.extend(runs)

    signals.runs_queued.connect(hear)
    try:
        task = Task.bulk_run_once(jobs.noop, DATA)
    finally:
        signals.runs_queued.disconnect(hear)
    assert queued == list(Run.objects.order_by("pk"))
    assert [run.payload for run in queued] == DATA
    assert all(run.task is task and run.task_id == task.pk for run in queued)


def test_an_error_of_a_batch_does_not_break_the_callers_transaction(monkeypatch):
    with transaction.atomic():
        Task.run_once(jobs.noop, label="before")
        monkeypatch.setattr("sisy.lifecycle.submit.store", fail)
        with pytest.raises(DatabaseError):
            Task.bulk_run_once(jobs.noop, DATA)
        assert not connection.needs_rollback
    assert Task.objects.get().label == "before"


def fail(*args):
    raise DatabaseError
