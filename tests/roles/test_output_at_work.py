"""A worker at work stores what its runs print and report."""

import pytest

from sisy.execution import ProcessPool
from sisy.models import Run, RunOutput, RunState, Task
from tests.app import talkative_jobs
from tests.roles.at_work import at_work, wait_until
from tests.support.records import stored

pytestmark = pytest.mark.django_db(transaction=True)


def kept(run=None):
    """Return the stored text of all attempts, oldest first."""
    rows = RunOutput.objects.order_by("run_id", "attempt")
    rows = rows.filter(run_id=run.pk) if run else rows
    return [(row.attempt, row.head + row.tail) for row in rows]


def test_a_worker_stores_output_while_its_function_runs():
    with at_work():
        task = Task.run_once(talkative_jobs.prints_until_stopped)
        run = Run.objects.get(task=task)
        wait_until(lambda: "line 3\n" in "".join(text for _, text in kept()), "it is stored")
        assert stored(run).state == RunState.RUNNING
        run.cancel()
        wait_until(lambda: stored(run).state == RunState.CANCELLED)
    assert kept()[0][1].startswith("line 0\nline 1\n")


def test_a_worker_stores_progress_while_its_function_runs():
    with at_work():
        task = Task.run_once(talkative_jobs.reports_until_stopped)
        run = Run.objects.get(task=task)
        wait_until(lambda: RunOutput.objects.filter(done__gt=2).exists(), "it is stored")
        run.cancel()
        wait_until(lambda: stored(run).state == RunState.CANCELLED)
    row = RunOutput.objects.get()
    assert (row.total, row.message) == (100, f"row {row.done:.0f}")
    assert row.progressed_at is not None


@pytest.mark.parametrize("function", [talkative_jobs.prints, talkative_jobs.aprints])
def test_a_worker_stores_what_a_short_run_printed(function):
    with at_work():
        task = Task.run_once(function)
        run = Run.objects.get(task=task)
        wait_until(lambda: stored(run).state == RunState.SUCCEEDED)
    [(attempt, text)] = kept()
    assert attempt == 1
    assert text.count("\n") in (3, 5)


def test_the_last_progress_of_a_run_is_kept():
    with at_work():
        run = Run.objects.get(task=Task.run_once(talkative_jobs.tracks))
        wait_until(lambda: stored(run).state == RunState.SUCCEEDED)
    row = RunOutput.objects.get()
    assert (row.done, row.total, row.message) == (4, 4, "sorting")


def test_a_worker_that_stops_keeps_what_its_runs_have_printed(monkeypatch):
    """The run is released, and another worker executes it again."""
    monkeypatch.setattr("sisy.runtime.flusher.FLUSH_INTERVAL", 60)
    with at_work(grace=0) as working:
        Task.run_once(talkative_jobs.prints_until_stopped)
        wait_until(lambda: kept(), "the first line is stored")
        working.stop()
    [(_, text)] = kept()
    assert Run.objects.get().state == RunState.QUEUED
    assert text.startswith("line 0\n")


@pytest.mark.parametrize("pool", [ProcessPool])
def test_child_processes_report_through_their_worker(pool):
    with at_work(pool=pool, concurrency=1):
        slow = Run.objects.get(task=Task.run_once(talkative_jobs.prints_until_stopped))
        wait_until(lambda: "line 3\n" in "".join(text for _, text in kept(slow)), "it is stored")
        slow.cancel(by_force=True)
        wait_until(lambda: stored(slow).state == RunState.CANCELLED)
        short = Run.objects.get(task=Task.run_once(talkative_jobs.prints))
        wait_until(lambda: stored(short).state == RunState.SUCCEEDED)
        silent = Run.objects.get(task=Task.run_once(talkative_jobs.is_silent))
        wait_until(lambda: stored(silent).state == RunState.SUCCEEDED)
    assert kept(slow)[0][1].startswith("line 0\nline 1\n")
    assert kept(short)[0][1].startswith("printed\nto standard error\n")
    assert kept(silent) == []
