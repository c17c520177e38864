"""Every transition of a run sends exactly one signal and one hint, from whatever it comes."""

from collections import Counter
from contextlib import contextmanager

import pytest
from django.db import transaction

from sisy import signals
from sisy.engines.dispatch import refuse_unknown
from sisy.heartbeat import tick
from sisy.heartbeat.plan_ahead import plan_ahead
from sisy.heartbeat.quarantine import reject_unreadable_rows
from sisy.lifecycle.release import release, release_running
from sisy.messaging import dashboard_events
from sisy.models import Overlap, Run, RunState, Task, task_with_callable
from sisy.records.outcome import of_error
from sisy.worker.claim import claim
from sisy.worker.record import record
from tests.app import jobs
from tests.roles.steps import finish, outcome
from tests.roles.test_unreadable import needs_spoilable, spoil
from tests.support.clocks import clock_at
from tests.support.moments import HOUR, MINUTE, NOON, SECOND
from tests.support.records import scheduled, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

SIGNALS = {
    "run_planned",
    "run_withdrawn",
    "run_started",
    "run_released",
    "run_finished",
    "run_retrying",
    "run_lost",
    "run_missed",
    "run_skipped",
    "run_cancelled",
    "run_rejected",
}


@pytest.fixture
def hints(monkeypatch):
    """Return a list of the keys of tasks of which dashboards are told."""
    told = []
    monkeypatch.setattr(dashboard_events._announcer, "add", lambda *tasks: told.extend(tasks))
    return told


class Heard:
    """What is told in a block, and how rows were changed in it."""

    def __init__(self):
        self.told = []
        self.changed = {}
        self.differing = []

    @property
    def names(self):
        return [name for name, _, _ in self.told]


@contextmanager
def watched(hints):
    """Check that each run that changes its state in the block is told of once, as it is then."""
    heard = Heard()
    receivers = {}
    for name in SIGNALS:

        def receive(sender, run, name=name, **sent):
            heard.told.append((name, run.pk, run.state))
            heard.differing += differing(name, run)

        receivers[name] = receive
        getattr(signals, name).connect(receive, sender=Run)
    before = rows()
    hints.clear()
    try:
        yield heard
    finally:
        for name, receive in receivers.items():
            getattr(signals, name).disconnect(receive, sender=Run)
    after = rows()
    heard.changed = {pk: row[0] for pk, row in after.items() if before.get(pk) != row}
    assert Counter(pk for _, pk, _ in heard.told) == Counter(heard.changed.keys())
    assert {pk: state for _, pk, state in heard.told} == heard.changed
    assert len(hints) == len(heard.changed)
    assert heard.differing == []


def differing(name, run):
    """Return the columns in which the run that a receiver gets differs from its row."""
    columns = {field.attname for field in Run._meta.concrete_fields} - run.get_deferred_fields()
    row = Run.objects.values(*columns).get(pk=run.pk)
    if name == "run_retrying":  # its process is a part of the fence, until the commit is known
        columns.discard("process_id")
    return [(name, column) for column in columns if getattr(run, column) != row[column]]


def rows():
    return {pk: row for pk, *row in Run.objects.values_list("pk", "state", "process", "attempt")}


def claimed(task=None, **fields):
    """Return a run that a worker has won."""
    run = (task or scheduled(**fields)).run_now()
    [won] = claim(worker(), ["default"], 1, NOON)
    assert won.pk == run.pk
    return won


def failed(run):
    error = of_error((NOON, NOON), ValueError("of its own"))
    record("default", [(run, error)], NOON)


def test_queued_by_a_schedule_or_a_person(hints):
    scheduled()
    with watched(hints) as heard:
        tick("default", NOON + MINUTE)
    assert heard.names == ["run_planned"]
    with watched(hints) as heard:
        Task.run_once(jobs.noop)
        Task.bulk_run_once(jobs.noop, [{}, {}])
    assert heard.names == ["run_planned"] * 3


def test_running(hints):
    scheduled().run_now()
    with watched(hints) as heard:
        claim(worker(), ["default"], 1, NOON)
    assert heard.names == ["run_started"]


@pytest.mark.parametrize(
    "state", [RunState.SUCCEEDED, RunState.FAILED, RunState.TIMED_OUT, RunState.CANCELLED]
)
def test_ended_by_its_function(hints, state):
    run = claimed()
    with watched(hints) as heard:
        finish(run, NOON, state)
    assert heard.names == ["run_finished"]


def test_retrying(hints):
    run = claimed(max_attempts=2)
    with watched(hints) as heard:
        failed(run)
    assert heard.names == ["run_retrying"]
    [attempt] = run.attempts.all()
    assert attempt.worker_name == str(run.process)
    assert Run.objects.get().worker_name == ""


def test_a_run_that_is_cancelled_says_so_itself():
    queued = scheduled().run_now()
    assert queued.cancel("enough")
    assert (queued.state, queued.reason) == (RunState.CANCELLED, "enough")
    assert not queued.cancel("enough")
    running = claimed()
    assert running.cancel("enough")
    assert (running.state, running.cancel_reason) == (RunState.RUNNING, "enough")


@pytest.mark.parametrize("on_lost", ["rerun", "fail"])
def test_lost(hints, on_lost):
    scheduled("@yearly", on_lost=on_lost).run_now()
    by = worker(lease=MINUTE)
    claim(by, ["default"], 1, NOON)
    with watched(hints) as heard:
        tick("default", NOON + 2 * MINUTE)
    assert heard.names == ["run_lost"]


def test_released_before_it_started(hints):
    run = claimed()
    with watched(hints) as heard:
        release("default", [run], "It was queued for too long.", NOON)
    assert heard.names == ["run_released"]
    assert Run.objects.get().attempt == 0


def test_handed_over_by_a_worker_that_stops(hints):
    run = claimed()
    with watched(hints) as heard:
        release_running("default", [run], "Its worker stopped", NOON)
    assert heard.names == ["run_released"]


def test_handed_over_though_it_may_run_only_once(hints):
    run = claimed(on_lost="fail")
    with watched(hints) as heard:
        release_running("default", [run], "Its worker stopped", NOON)
    assert heard.names == ["run_lost"]


def test_released_and_cancelled(hints):
    run = claimed()
    Run.objects.get().cancel("enough")
    with watched(hints) as heard:
        release("default", [run], "It was queued for too long.", NOON)
    assert heard.names == ["run_cancelled"]
    run = claimed(label="of another task")
    Task.objects.filter(label="of another task").delete()
    with watched(hints) as heard:
        release("default", [run], "It was queued for too long.", NOON)
    assert heard.names == ["run_cancelled"]


def test_released_because_the_worker_lacks_its_code(hints):
    run = claimed()
    with watched(hints) as heard:
        failing = outcome(NOON, RunState.FAILED, reason="no code", others_may_call_it=True)
        record("default", [(run, failing)], NOON)
    assert heard.names == ["run_released"]


@pytest.mark.parametrize(
    "cancel",
    [
        lambda run: run.cancel(),
        lambda run: run.task.cancel_runs(),
        lambda run: run.task.cancel_queued(),
        lambda run: Run.objects.all().cancel("enough", NOON),
        lambda run: run.task.delete(),
        lambda run: Task.objects.all().delete(),
    ],
    ids=["run", "task", "queued", "many", "deleted", "all deleted"],
)
def test_cancelled_while_it_is_queued(hints, cancel):
    task = scheduled()
    run = task.run_now()
    with watched(hints) as heard:
        cancel(run)
    assert heard.names == ["run_cancelled"]
    assert hints == [run.task_id]


def test_asked_to_end_while_it_is_running(hints):
    run = claimed()
    run.cancel("enough")
    assert hints[-1] == run.task_id  # whose page shows it
    with watched(hints) as heard:
        finish(run, NOON, RunState.CANCELLED)
    assert heard.names == ["run_finished"]


def test_cancelled_by_the_claiming_worker(hints):
    run = scheduled().run_now()
    Run.objects.filter(pk=run.pk).update(cancel_requested_at=NOON, cancel_reason="enough")
    with watched(hints) as heard:
        assert claim(worker(), ["default"], 1, NOON) == []
    assert heard.names == ["run_cancelled"]


def test_skipped(hints):
    task = scheduled(overlap=Overlap.SKIP)
    claimed(task)
    task.run_now()
    with watched(hints) as heard:
        claim(worker(), ["default"], 1, NOON + MINUTE)
    assert heard.names == ["run_skipped"]


@pytest.mark.parametrize(
    "end", [lambda task: task.pause(), lambda task: task.delete(), None], ids=["p", "d", "e"]
)
def test_missed_because_the_task_changed(hints, noon, end):
    task = scheduled()
    noon.moment = NOON + HOUR + 30 * SECOND  # what fell due just now would still run
    with watched(hints) as heard:
        if end is None:
            task.schedule = "@yearly"
            task.save()
        else:
            end(task)
    assert heard.names == ["run_missed"]
    assert Run.objects.get().pk is not None


def test_recorded_occurrences_are_not_missed_again(hints, noon):
    task = scheduled()
    task.new_run(now=NOON, due_at=NOON + MINUTE, state=RunState.SUCCEEDED).save()
    noon.moment = NOON + MINUTE + 30 * SECOND
    with watched(hints) as heard:
        task.pause()
    assert heard.names == []


def test_missed_while_no_heartbeat_was_up(hints):
    scheduled(missed="skip")
    with watched(hints) as heard:
        tick("default", NOON + HOUR)
    assert "run_missed" in heard.names


def test_rejected_because_its_engine_was_removed(hints):
    scheduled().run_now()
    Run.objects.update(engine="celery")
    with watched(hints) as heard:
        refuse_unknown("default", NOON + HOUR)
    assert heard.names == ["run_rejected"]


@needs_spoilable
def test_rejected_because_its_row_is_unreadable(hints):
    run = scheduled().run_now()
    spoil(run, "ready_at")
    with watched(hints) as heard:
        reject_unreadable_rows("default", NOON)
    assert heard.names == ["run_rejected"]
    assert heard.changed == {run.pk: "failed"}


@needs_spoilable
def test_an_unreadable_row_does_not_prevent_cancelling_the_others(hints):
    task = scheduled(overlap=Overlap.ALLOW)
    bad, good = task.run_now(), task.run_now()
    spoil(bad, "planned_at")
    told = []

    def hear(run, **sent):
        told.append(run.pk)

    signals.run_cancelled.connect(hear)
    try:
        assert task.cancel_queued() == 2
    finally:
        signals.run_cancelled.disconnect(hear)
    assert told == [good.pk]
    assert set(Run.objects.values_list("state", flat=True)) == {"cancelled"}


def test_no_signal_is_sent_for_a_rolled_back_change(hints):
    run = claimed()
    task = task_with_callable(jobs.noop, schedule="@yearly")
    task.save()
    task.run_now()
    with watched(hints) as heard, transaction.atomic():
        task.cancel_queued()
        release("default", [run], "It was queued for too long.", NOON)
        transaction.set_rollback(True)
    assert heard.told == []


def test_every_signal_of_a_run_is_tested_and_sends_a_hint():
    names = {name for name in vars(signals) if name.startswith("run_")}
    assert names == SIGNALS
    assert {getattr(signals, name) for name in SIGNALS} == set(dashboard_events.OF_RUNS)


def test_withdrawn_because_its_task_was_changed(hints):
    scheduled()
    plan_ahead("default", NOON + MINUTE - SECOND)
    [run] = Run.objects.all()
    told = []

    def hear(run, **sent):
        told.append(run.pk)

    signals.run_withdrawn.connect(hear)
    hints.clear()
    try:
        with clock_at(NOON + MINUTE - SECOND):
            Task.objects.update(queue="another")
    finally:
        signals.run_withdrawn.disconnect(hear)
    assert told == [run.pk]
    assert hints == [run.task_id]
