"""Hosts whose clocks are wrong, and processes that sleep for longer than a lease."""

import signal
import sys

import pytest

from sisy import clock
from sisy.models import Process, Run, RunState, Task, task_with_callable
from tests.app import jobs
from tests.app.models import Execution
from tests.processes.fleet import Fleet, every_second
from tests.processes.ledger import assert_each_run_was_executed_once
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("forked")

LEASE = 5  # seconds, the shortest
LONG_ENOUGH = 15  # seconds: a third of it is more than a busy machine needs to wake up
SKEWED = (sys.executable, "-m", "tests.processes.skewed")


def sign_on(processes):
    pids = [process.pid for process in processes]
    wait_until(lambda: Process.objects.filter(pid__in=pids).count() == len(pids), "all signed on")


def test_hosts_five_minutes_fast_and_slow_fire_neither_early_nor_twice(fleet_site):
    """Whose clock names the due moments: with two schedulers, everything was fired twice."""
    tasks = every_second(5)
    processes = [
        fleet_site.run(*SKEWED, command, SISY_TEST_SKEW=skew)
        for command in ("sisy_heartbeat", "sisy_worker")
        for skew in ("300", "0", "-300")
    ]
    sign_on(processes)
    tasks.run_for(6)
    tasks.wait_for_the_end()
    tasks.assert_exact()
    late = [run.lateness.total_seconds() for run in Run.objects.all()]
    assert min(late) >= 0
    assert max(late) < 60
    assert [process.stop() for process in processes] == [0] * 6


def test_a_host_that_sleeps_longer_than_a_lease_repeats_no_run(fleet_site):
    """A suspended host: the heartbeat that wakes first must not take the living worker's run."""
    fleet_site.set(SISY_LEASE_SECONDS=LONG_ENOUGH)
    fleet = Fleet(fleet_site, 1, 1)
    task = task_with_callable(jobs.record, schedule="* * * * * *", missed="all", overlap="allow")
    task.save()
    run = Run.objects.get(task=Task.run_once(jobs.asleeps, userdata={"seconds": 8}))
    wait_until(Execution.objects.filter(run=run.pk).exists, "the run has begun")
    [heartbeat], [worker] = fleet.heartbeats, fleet.workers
    heartbeat.send(signal.SIGSTOP)
    others = Run.objects.live().exclude(pk=run.pk)
    # A function that is about to open a connection would be given up by the database.
    wait_until(lambda: not others.exists(), "no other run goes on")
    worker.send(signal.SIGSTOP)
    by_then = Process.objects.order_by("-lease_until").first().lease_until
    wait_until(lambda: clock.now("default") > by_then, "all leases have run out")
    heartbeat.send(signal.SIGCONT)
    woke = clock.now("default")
    wait_until(Run.objects.filter(planned_at__gt=woke).exists, "it plans again")
    worker.send(signal.SIGCONT)
    wait_until(lambda: not Run.objects.live().filter(pk=run.pk).exists(), "the run is over")
    run.refresh_from_db()
    assert (run.state, run.attempt, run.times_lost) == (RunState.SUCCEEDED, 1, 0)
    end_tasks()
    dues = sorted(Run.objects.filter(label=task.label).values_list("due_at", flat=True))
    seconds = {int(due.timestamp()) for due in dues}
    assert len(dues) == len(seconds) == max(seconds) - min(seconds) + 1
    assert_each_run_was_executed_once()
    fleet.ends_well()


def test_iterations_stay_exact_when_the_worker_is_killed(fleet_site):
    fleet_site.set(SISY_LEASE_SECONDS=LEASE)
    fleet = Fleet(fleet_site, 2, 1)
    task = task_with_callable(
        jobs.sleeps,
        schedule="* * * * * *",
        iterations=5,
        overlap="allow",
        userdata={"seconds": 1.5},
    )
    task.save()
    wait_until(lambda: Execution.objects.count() >= 2, "two of five have begun")
    fleet.workers[0].send(signal.SIGKILL)
    another = fleet_site.manage("sisy_worker")
    wait_until(lambda: not Task.objects.exists(), "the task has ended")
    runs = Run.objects.order_by("due_at")
    assert [run.state for run in runs] == ["succeeded"] * 5
    assert len(set(runs.values_list("due_at", flat=True))) == 5
    assert runs.filter(times_lost=1).exists()
    executed = set(Execution.objects.values_list("run", "attempt"))
    assert executed >= {(run.pk, run.attempt) for run in runs}
    assert [process.stop() for process in [*fleet.heartbeats, another]] == [0] * 3


def end_tasks():
    """Plan no more, and wait until nothing is queued or running."""
    Task.objects.update(state="paused", next_run=None)
    wait_until(lambda: not Run.objects.live().exists(), "nothing is live")
