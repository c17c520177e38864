"""Commands that start anew when code changes: what is told to their parent reaches the child."""

import os
import signal

import psutil
import pytest

from sisy.models import Process, Run, RunState, Task
from tests.app import jobs
from tests.support.waiting import wait_until


def reloading(site, *command):
    """Start a command under the reloader; return it, and its child that serves."""
    parent = site.manage(*command, "--reload")
    wait_until(Process.objects.exists, "the child has signed on")
    return parent, psutil.Process(Process.objects.first().pid)


def is_gone(child):
    return not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_parent_lets_the_childs_run_end(site, number):
    Task.run_once(jobs.sleeps, userdata={"seconds": 2})
    parent, child = reloading(site, "sisy_worker")
    assert child.pid != parent.pid
    wait_until(Run.objects.running().exists, "the run has begun")
    parent.send(number)
    assert parent.ends() == 0
    assert is_gone(child)
    assert not Process.objects.exists()
    run = Run.objects.get()
    assert (run.state, run.attempt) == (RunState.SUCCEEDED, 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_is_one_signal(site, number):
    """As a terminal sends INT, and systemd TERM: the second one of each must not hurry."""
    Task.run_once(jobs.sleeps, userdata={"seconds": 2})
    parent, child = reloading(site, "sisy_worker")
    wait_until(Run.objects.running().exists, "the run has begun")
    os.killpg(parent.pid, number)
    assert parent.ends() == 0
    assert is_gone(child)
    assert not Process.objects.exists()
    assert Run.objects.get().state == RunState.SUCCEEDED


def test_a_heartbeat_and_a_worker_in_one_process_end_with_their_parent_too(site):
    parent, child = reloading(site, "sisy")
    assert parent.stop() == 0
    assert is_gone(child)
    assert not Process.objects.exists()
