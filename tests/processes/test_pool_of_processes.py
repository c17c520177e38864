"""Workers with child processes: what is killed, what is lost, and that nothing outlives them."""

import os
import signal
from datetime import timedelta

import psutil
import pytest

from sisy.models import OnLost, Process, Run, RunState, Task, task_with_callable
from tests.app import child_jobs
from tests.app.models import Execution
from tests.support.waiting import wait_until

LEASE = 5  # seconds, the shortest


@pytest.fixture
def site(site):
    site.set(SISY_LEASE_SECONDS=LEASE)
    return site


def worker(site, *options):
    """Start a worker, and wait until it has signed on."""
    process = site.manage("sisy_worker", "--pool", "processes", *options)
    wait_until(Process.objects.filter(pid=process.pid).exists, "the worker has signed on")
    return process


def heartbeat(site):
    process = site.manage("sisy_heartbeat")
    wait_until(Process.objects.filter(pid=process.pid).exists, "the heartbeat has signed on")
    return process


def submitted(function, fields=None, **userdata):
    """Submit one run of a function, and return it."""
    task = task_with_callable(
        function, schedule="@yearly", overlap="allow", userdata=userdata, **fields or {}
    )
    task.save()
    return task.run_now()


def begun(run, attempt=1):
    """Wait until a run has begun, and return the process that carries it out."""
    calls = Execution.objects.filter(run=run.pk, attempt=attempt)
    wait_until(calls.exists, f"attempt {attempt} has begun")
    return calls.get().pid


def ends(run):
    wait_until(lambda: not Run.objects.live().filter(pk=run.pk).exists(), "the run is over")
    run.refresh_from_db()
    return run


def family_of(process):
    """Return the processes that a worker has started, and those that they have."""
    return {child.pid: child for child in psutil.Process(process.pid).children(recursive=True)}


def is_gone(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_cpu_bound_work_is_killed_at_its_timeout(site):
    """A thread would go on for ever, and with it the slot would be gone."""
    process = worker(site, "--concurrency", "1")
    run = submitted(child_jobs.spins, {"timeout": timedelta(seconds=1)})
    child = begun(run)
    assert ends(run).state == RunState.TIMED_OUT
    assert run.reason == ("RunTimedOut: The run exceeded its timeout of 1 s and was killed.")
    assert ends(submitted(child_jobs.returns_pid)).result not in (child, process.pid)
    assert process.stop() == 0


def test_a_killed_child_affects_only_its_own_run(site):
    process = worker(site, "--concurrency", "2")
    other = submitted(child_jobs.spins, seconds=4)
    begun(other)
    run = submitted(child_jobs.is_killed, {"on_lost": OnLost.FAIL})
    assert ends(run).state == RunState.LOST
    assert run.reason.startswith("Its process was killed by SIGKILL")
    assert ends(other).state == RunState.SUCCEEDED
    assert process.stop() == 0


def test_children_are_replaced_after_their_runs_and_for_their_memory(site):
    process = worker(
        site, "--concurrency=1", "--max-runs-per-child=3", "--max-memory-per-child=150"
    )
    pids = [ends(submitted(child_jobs.returns_pid)).result for _ in range(4)]
    assert pids[0] == pids[1] == pids[2] != pids[3]
    assert ends(submitted(child_jobs.grows)).result == pids[3]
    assert ends(submitted(child_jobs.returns_pid)).result not in pids
    assert f"Replacing child process {pids[3]}" in process.output
    assert process.stop() == 0


def test_term_to_the_whole_group_lets_runs_end(site):
    """As systemd's KillMode=control-group and a terminal do: the worker alone decides."""
    process = worker(site, "--concurrency", "1")
    run = submitted(child_jobs.spins, seconds=3)
    begun(run)
    for one in [*family_of(process).values(), psutil.Process(process.pid)]:
        one.send_signal(signal.SIGTERM)
    assert process.ends() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)


def test_runs_that_outlast_the_grace_period_are_killed_and_handed_back(site):
    """A thread that outlives its worker's word would work beside the next one."""
    first = worker(site, "--grace", "0.5")
    run = submitted(child_jobs.reports_others)
    child = psutil.Process(begun(run))
    assert first.stop() == 0
    assert is_gone(child)
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.QUEUED, 0)


@pytest.mark.parametrize("function", [child_jobs.spins, child_jobs.holds_the_lock])
def test_no_child_outlives_a_worker_that_is_killed(site, function):
    """In the middle of a function, and though Python cannot run another thread meanwhile."""
    process = worker(site)
    begun(submitted(function))
    children = family_of(process)
    assert len(children) >= 2  # a child, the server that forks them, and a helper of Python's
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: all(map(is_gone, children.values())), "all are gone")


def test_a_program_started_by_a_function_ends_when_its_worker_is_killed(site):
    process = worker(site)
    run = submitted(child_jobs.starts_a_program)
    begun(run)
    program = psutil.Process(Task.objects.get(pk=run.task_id).userdata["program"])
    os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: is_gone(program), "the program is gone")


def test_the_run_of_a_killed_worker_runs_again_when_its_first_child_is_gone(site):
    heart = heartbeat(site)
    first = worker(site)
    run = submitted(child_jobs.reports_others)
    begun(run)
    os.kill(first.pid, signal.SIGKILL)
    second = worker(site)
    assert ends(run).state == RunState.SUCCEEDED
    assert (run.attempt, run.result) == (2, [])
    assert second.stop() == heart.stop() == 0
