"""``sisy_worker --processes N``: a parent that keeps workers up, and sees what ends them."""

import os
import signal

import psutil
import pytest

from sisy import clock
from sisy.models import Process, Role, Run, RunState, Task
from tests.app import jobs
from tests.app.models import Execution
from tests.processes.site import Site
from tests.support.waiting import wait_until

LEFT_OPEN = [
    "unclosed database in <sqlite3.Connection",
    "Enable tracemalloc",
]  # by a thread that goes on
SIGNED_ON = Process.objects.filter(role=Role.WORKER)


def supervised(site: Site, count: int, *options: str):
    """Start a parent, and wait until all its workers have signed on."""
    parent = site.manage("sisy_worker", "--processes", str(count), *options)
    wait_until(lambda: SIGNED_ON.filter(end_reason="").count() == count, "all have signed on")
    return parent


def pids_of(parent):
    return {child.pid for child in psutil.Process(parent.pid).children()}


def in_hand(seconds):
    """Have a worker begin a run that takes so long; return the run and the worker's pid."""
    run = Run.objects.get(task=Task.run_once(jobs.sleeps, userdata={"seconds": seconds}))
    calls = Execution.objects.filter(run=run.pk)
    wait_until(calls.exists, "the run has begun")
    return run, calls.get().pid


def ends(run):
    wait_until(lambda: not Run.objects.live().filter(pk=run.pk).exists(), "the run is over")
    return Run.objects.get(pk=run.pk)


def test_a_killed_child_is_replaced_and_its_run_rescued_before_lease_expiry(site):
    site.set(SISY_LEASE_SECONDS=600)
    heartbeat = site.manage("sisy_heartbeat")
    parent = supervised(site, 2)
    pids = pids_of(parent)
    assert set(SIGNED_ON.values_list("pid", flat=True)) == pids
    run, killed = in_hand(seconds=2)
    os.kill(killed, signal.SIGKILL)
    run = ends(run)
    assert (run.state, run.attempt, run.times_lost) == (RunState.SUCCEEDED, 2, 1)
    [attempt] = run.attempts.all()
    assert f"worker {killed}@" in attempt.reason
    assert attempt.reason.endswith("died (killed by SIGKILL).")
    parent.says(f"Process {killed} ended (killed by SIGKILL); starting another process")
    wait_until(lambda: len(pids_of(parent) - {killed}) == 2, "there are two again")
    wait_until(lambda: SIGNED_ON.count() == 2, "both have signed on")
    assert parent.stop() == heartbeat.stop() == 0
    assert not Process.objects.exists()


def test_term_lets_the_runs_of_all_children_end(site):
    parent = supervised(site, 2)
    run, _ = in_hand(seconds=1)
    assert parent.stop() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    assert not Process.objects.exists()


def test_a_second_signal_hurries_the_children(site):
    site.accepted += LEFT_OPEN
    parent = supervised(site, 2, "--grace", "600")
    run, _ = in_hand(seconds=600)
    parent.send(signal.SIGTERM)
    parent.says("waiting up to 600 s")
    assert parent.stop() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.QUEUED, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_hurries_no_child(site, number):
    """systemd sends TERM to parent and children alike, and a terminal INT."""
    parent = supervised(site, 2)
    run, _ = in_hand(seconds=2)
    os.killpg(parent.pid, number)
    assert parent.ends() == 0
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)


def test_children_of_a_killed_parent_stop_in_order(site):
    parent = supervised(site, 2)
    run, _ = in_hand(seconds=1)
    children = [psutil.Process(pid) for pid in pids_of(parent)]
    parent.send(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    run.refresh_from_db()
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)
    assert not Process.objects.exists()


def test_the_exit_code_reports_a_child_killed_during_the_stop(site):
    parent = supervised(site, 2, "--grace", "600")
    run, pid = in_hand(seconds=600)
    parent.send(signal.SIGTERM)
    parent.says("waiting up to 600 s")
    os.kill(pid, signal.SIGKILL)
    assert parent.ends() == 1
    assert "Some worker processes failed" in parent.output
    assert Process.objects.get(pid=pid).end_reason == "killed by SIGKILL"
    assert Process.objects.get(pid=pid).lease_until <= clock.now("default")
    assert Run.objects.get(pk=run.pk).state == RunState.RUNNING


def test_many_processes_do_not_reload(site):
    process = site.manage("sisy_worker", "--processes", "2", "--reload")
    assert process.ends() == 1
    assert "--processes 2 cannot be combined with --reload" in process.output
    assert "Use --no-reload" in process.output


@pytest.mark.parametrize("count", ["0", "101", "many", "-1"])
def test_an_invalid_number_of_processes_is_rejected(site, forks, count):
    process = site.fork(forks, "sisy_worker", f"--processes={count}")
    assert process.ends() == 2
    assert f"'{count}' is not valid. Use a whole number from 1 to 100" in process.output
