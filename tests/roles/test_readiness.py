"""Workers whose pool can call no function: their runs stay queued, charged with nothing."""

import time
from datetime import UTC

import pytest
from django.core.management import CommandError, call_command

from sisy.alerting.capacity import Fleet
from sisy.execution import ProcessPool, ThreadPool
from sisy.models import Attempt, OnLost, Process, Run, RunState, task_with_callable
from sisy.reports.alerts import find_alerts
from sisy.worker import pool_client
from tests.app import jobs
from tests.roles.at_work import at_work
from tests.support.moments import HOUR, NOON
from tests.support.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED = "Could not start a child process: OSError: [Errno 28] no further process."


class Grounds:
    """Lets child processes start, or not, and counts how often one was tried."""

    def __init__(self, monkeypatch):
        from sisy.execution import child_process

        self.refuses = True
        self.tries = 0
        self._start = child_process.start_masked
        monkeypatch.setattr(child_process, "start_masked", self.start)
        monkeypatch.setattr(pool_client, "FIRST_RETRY_DELAY", 0.05)
        monkeypatch.setattr(pool_client, "MAX_RETRY_DELAY", 0.2)

    def start(self, process):
        self.tries += 1
        if self.refuses:
            raise OSError(28, "no further process")
        self._start(process)


@pytest.fixture
def grounds(monkeypatch):
    return Grounds(monkeypatch)


def submit(count, **fields):
    task = task_with_callable(jobs.noop, schedule="@yearly", overlap="allow", **fields)
    task.save()
    return [task.run_now() for _ in range(count)]


def queued():
    """Return the queued runs that nothing was charged with."""
    return Run.objects.queued().filter(attempt=0, times_lost=0, started_at=None, process=None)


@pytest.mark.parametrize("on_lost", [OnLost.RERUN, OnLost.FAIL])
def test_a_worker_that_cannot_start_children_charges_no_run_and_recovers(grounds, on_lost, caplog):
    submit(30, on_lost=on_lost)
    with caplog.at_level("INFO", "sisy"), at_work(concurrency=4, pool=ProcessPool):
        wait_until(lambda: Process.objects.exclude(problem="").exists() and grounds.tries > 8)
        process = Process.objects.get()
        assert process.problem == REFUSED
        assert process.problem_since is not None
        wait_until(lambda: queued().count() == 30)
        assert not Attempt.objects.exists()
        tries = grounds.tries
        wait_until(lambda: grounds.tries > tries + 2)
        assert queued().count() == 30  # it tries without a run
        grounds.refuses = False
        wait_until(lambda: Run.objects.filter(state=RunState.SUCCEEDED).count() == 30)
        wait_until(lambda: Process.objects.filter(problem="", problem_since=None).exists())
    assert set(Run.objects.values_list("attempt", "times_lost")) == {(1, 0)}
    lines = [record.getMessage() for record in caplog.records if "claims" in record.getMessage()]
    assert lines == [
        f"{process} claims no runs: {REFUSED}",
        f"{process} claims runs again",
    ]


def test_other_workers_take_the_runs_in_the_meantime(grounds):
    with at_work(pool=ProcessPool):
        runs = submit(5)
        wait_until(lambda: Process.objects.exclude(problem="").exists())
        with at_work():
            wait_until(lambda: not Run.objects.live().exists())
    done = Run.objects.filter(pk__in=[run.pk for run in runs])
    assert set(done.values_list("state", "attempt")) == {(RunState.SUCCEEDED, 1)}


def test_a_stop_does_not_wait_for_a_child_that_cannot_begin(monkeypatch):
    monkeypatch.setattr("sisy.execution.child_process.child_start.begin", _never_begins)
    submit(1)
    with at_work(pool=ProcessPool, grace=0) as worker:
        wait_until(lambda: Run.objects.running().exists())
        began = time.monotonic()
        worker.stop()
        wait_until(lambda: not Process.objects.exists())
    assert time.monotonic() - began < 20  # and not the minute that a child has to begin
    assert queued().count() == 1 or Run.objects.queued().count() == 1


def _never_begins(to_worker, taken):
    time.sleep(600)


def test_pauses_grow_up_to_a_limit_and_reset_after_a_success(monkeypatch):
    monkeypatch.setattr(pool_client.random, "uniform", lambda low, high: high)
    monkeypatch.setattr(pool_client.time, "monotonic", lambda: 0.0)
    ready = pool_client.Readiness(lease=None, database=None, claims=None)
    pauses = []
    for _ in range(8):
        ready._back_off("no")
        pauses.append(ready._next_try)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30]
    ready.worked()
    ready._back_off("no")
    assert ready._next_try == 0.5


def test_an_error_of_the_pool_itself_charges_no_run_either(monkeypatch):
    def fail(self, run, ended, may_begin):
        raise ValueError("the pool is out of its mind")

    execute = ThreadPool.execute
    monkeypatch.setattr(ThreadPool, "execute", fail)
    submit(3)
    with at_work():
        wait_until(lambda: Process.objects.exclude(problem="").exists())
        assert "the pool is out of its mind" in Process.objects.get().problem
        monkeypatch.setattr(ThreadPool, "execute", execute)
        wait_until(lambda: not Run.objects.live().exists())
    assert set(Run.objects.values_list("attempt", "times_lost")) == {(1, 0)}


def troubled(since=NOON):
    return Process.join(
        "worker",
        using="default",
        now=NOON,
        lease=HOUR,
        queues=("default",),
        slots=4,
        problem=REFUSED,
        problem_since=since,
    )


def test_status_alerts_and_overview_say_which_worker_cannot_work_and_why(at_time, capsys):
    """They also say since when."""
    at_time(NOON)
    process = troubled()
    words = f"{process} has claimed no runs since 2026-05-05 12:00:00 UTC: {REFUSED}"
    assert words in [alert.why for alert in find_alerts("default", NOON)]
    assert words.rstrip(".") == Fleet.at("default", NOON).hindrance("default", UTC)
    call_command("sisy_status")
    assert REFUSED.split(": ")[0] in capsys.readouterr().out
    with pytest.raises(CommandError, match="workers for default"):
        call_command("sisy_health")
    assert "no further process" in " ".join(capsys.readouterr().out.split())
