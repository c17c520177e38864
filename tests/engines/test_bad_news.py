"""Runs on other engines that cannot be read, or that another process has taken over."""

import pytest

from sisy import current_run
from sisy.engines import execute
from sisy.engines.dispatch import dispatch
from sisy.engines.execute import execute_dispatched
from sisy.lifecycle.lose import lose
from sisy.models import Run, RunState
from tests.app import jobs
from tests.roles.test_unreadable import needs_spoilable
from tests.roles.test_unreadable_claims import spoil_ledger
from tests.support.moments import MINUTE, NOON
from tests.support.records import scheduled, stored
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("noon")]

seen = []


def run_of(fn=jobs.noop, task=None):
    return (task or scheduled("@yearly", fn=fn, engine="at once", overlap="allow")).run_now()


@needs_spoilable
def test_runs_that_cannot_be_read_do_not_stop_the_dispatch_of_others(caplog):
    spoilt, good = run_of(), run_of()
    spoil_ledger(spoilt, "planned_at")
    assert dispatch("default", NOON + MINUTE) == 1
    assert dict(Run.objects.values_list("pk", "state")) == {
        spoilt.pk: RunState.FAILED,
        good.pk: RunState.SUCCEEDED,
    }
    assert f"Cannot read the row of queued run {spoilt.pk}; marked it as failed" in caplog.text


@needs_spoilable
def test_an_engine_that_receives_a_run_that_cannot_be_read_fails_it():
    run = run_of()
    spoil_ledger(run, "planned_at")
    execute_dispatched(run.pk)
    assert Run.objects.filter(pk=run.pk).values_list("state", flat=True).get() == RunState.FAILED


def loses_its_run(message):
    run = Run.objects.get()
    lose(Run.objects.filter(pk=run.pk), "Its worker died", NOON)
    seen.append(stored(run).state)
    wait_until(lambda: current_run().cancellation.reason is not None)
    current_run().check()


@pytest.mark.parametrize("on_lost", ["rerun", "fail"])
def test_a_function_whose_run_was_taken_over_is_asked_to_stop(monkeypatch, on_lost):
    monkeypatch.setattr(execute, "CHECK_INTERVAL", 0.01)
    seen.clear()
    task = scheduled("@yearly", fn=loses_its_run, engine="some day", on_lost=on_lost)
    run = task.run_now()
    execute_dispatched(run.pk)
    # Its outcome is discarded: the run belongs to someone else.
    assert seen == [stored(run).state]
    assert seen == [RunState.QUEUED if on_lost == "rerun" else RunState.LOST]
