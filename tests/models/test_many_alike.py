"""The runs of one submission differ in their data, and in nothing else."""

import pytest
from django.db import connection
from django.db.models.base import ModelState
from django.db.models.signals import post_init

from sisy import signals
from sisy.models import Run, Task
from sisy.records import instances
from sisy.records.alike import Alike
from tests.app import jobs
from tests.support.moments import HOUR, NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]

DATA = [{"n": 1}, {}, {"n": [1, None]}]


def held(run):
    return {
        field.attname: getattr(run, field.attname)
        for field in Run._meta.concrete_fields
        if field.attname not in ("id", "payload", "task_id")
    }


@pytest.fixture(params=[False, True], ids=["quickly", "with a receiver of each record"])
def made(request):
    made = []

    def hear(instance, **kwargs):
        made.append(instance)

    if request.param:
        post_init.connect(hear, sender=Run)
    yield made
    post_init.disconnect(hear, sender=Run)


@pytest.fixture
def created(monkeypatch):
    """Return the list of the states of the records that are created from now on."""
    created = []

    class State(ModelState):
        def __init__(self):
            created.append(self)

    monkeypatch.setattr(instances, "ModelState", State)
    return created


def test_runs_of_a_batch_are_those_that_are_submitted_singly(made):
    options = {"delay_until": NOON + HOUR, "priority": 3, "queue": "slow"}
    task = Task.bulk_run_once(jobs.noop, DATA, **options)
    alone = Run.objects.get(task=Task.run_once(jobs.noop, DATA[0], **options))
    runs = list(Run.objects.filter(task=task).order_by("pk"))
    assert [run.payload for run in runs] == DATA
    assert [held(run) for run in runs] == [held(alone)] * len(DATA)


def test_records_share_neither_their_state_nor_their_data(made):
    task = Task.run_once(jobs.noop)
    first = task.new_run(now=NOON)
    runs = Alike(first, "payload", DATA)
    assert [run.payload for run in runs] == DATA
    assert all(run.task is task for run in runs)
    runs[0].save()
    assert [run._state.adding for run in runs] == [False, True, True]
    assert [run.pk is None for run in runs] == [False, True, True]
    runs[0].task = None
    assert runs[1].task is task


def test_records_are_created_when_one_of_them_is_used(created):
    runs = Alike(Task.run_once(jobs.noop).new_run(now=NOON), "payload", DATA)
    created.clear()
    runs.note_inserted("default", [7, 8, 9])
    assert (len(runs), runs[0].pk, created) == (3, 7, [])
    assert [(run.pk, run.payload) for run in runs] == list(zip([7, 8, 9], DATA, strict=True))
    assert [run.pk for run in runs[1:]] == [8, 9]
    assert not any(run._state.adding for run in runs)
    assert len(created) == 2


@pytest.mark.skipif(
    connection.vendor != "postgresql", reason="Django inserts the records of a batch elsewhere"
)
def test_submitting_a_batch_creates_few_records(created, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        Task.bulk_run_once(jobs.noop, [{"n": n} for n in range(50)])
    # A template and its copy for the task, and for the run; and the first run.
    assert len(created) <= 5


def test_signals_get_the_runs_of_a_batch_with_their_keys(django_capture_on_commit_callbacks):
    planned, queued = [], []

    def hear(*, run, **kwargs):
        planned.append((run.pk, run.task_id, run.payload["n"]))

    def hear_all(*, runs, **kwargs):
        queued.append(runs)

    signals.run_planned.connect(hear)
    signals.runs_queued.connect(hear_all)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            task = Task.bulk_run_once(jobs.noop, [{"n": n} for n in range(3)])
    finally:
        signals.run_planned.disconnect(hear)
        signals.runs_queued.disconnect(hear_all)
    stored = Run.objects.filter(task=task).order_by("pk")
    assert planned == [(run.pk, task.pk, n) for n, run in enumerate(stored)]
    assert queued == [list(stored)]


def test_a_receiver_connected_before_the_commit_gets_all_runs_of_a_batch(
    django_capture_on_commit_callbacks,
):
    heard = []

    def hear(*, run, **kwargs):
        heard.append(run.payload)

    try:
        with django_capture_on_commit_callbacks(execute=True):
            Task.bulk_run_once(jobs.noop, DATA)
            signals.run_planned.connect(hear)
    finally:
        signals.run_planned.disconnect(hear)
    assert heard == DATA
