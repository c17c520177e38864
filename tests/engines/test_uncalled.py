"""Runs that another engine was handed, and whose function it could not call."""

import threading

import pytest

from sisy.engines.execute import execute_dispatched
from sisy.models import Process, Run, RunState
from tests.engines.test_dispatching import run_of
from tests.support.moments import NOON, SECOND

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("noon")]


def test_a_run_without_a_renewing_thread_uses_no_attempt(monkeypatch):
    """Its process would sign off, and a heartbeat would take the run for lost."""
    run = run_of()

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        execute_dispatched(run.pk)
    row = Run.objects.get(pk=run.pk)
    assert (row.state, row.attempt, row.times_lost) == (RunState.QUEUED, 0, 0)
    assert (row.process_id, row.dispatched_at, row.ready_at) == (None, None, NOON + 5 * SECOND)
    assert row.reason == "Could not start a thread: can't start new thread."
    assert not Process.objects.exists()


def test_a_run_whose_process_lacks_its_code_is_dispatched_again():
    run = run_of()
    Run.objects.filter(pk=run.pk).update(target_path="tests.app.jobs.gone", dispatched_at=NOON)
    execute_dispatched(run.pk)
    row = Run.objects.get(pk=run.pk)
    assert (row.state, row.attempt, row.dispatched_at) == (RunState.QUEUED, 0, None)
    assert row.ready_at == NOON + SECOND
