"""TERM and INT to each command, at any moment of its life."""

import signal
import sys

import psutil
import pytest

from sisy.models import Process, Run, RunState, Task
from tests.app import jobs
from tests.support.waiting import SHORTEST, wait_until

COMMANDS = ["sisy", "sisy_heartbeat", "sisy_worker"]
SIGNALS = [signal.SIGTERM, signal.SIGINT]
GETTING_READY = """
import time
import django
django.setup()
from django.core.management import execute_from_command_line
from sisy.management.serving import ServingCommand

def check_migrations(self):
    try:
        print("getting ready\\n", end="", flush=True)  # in one write
        time.sleep(600)
    finally:
        print("in the middle of something")

ServingCommand.check_migrations = check_migrations
execute_from_command_line(["manage.py", "sisy_worker"])
"""
SIGNALLED_AS_ITS_LOOP_CLOSES = """
import os
import signal
from asyncio import unix_events
import django
django.setup()
from sisy.runtime.run_until_stopped import Service, run_until_signalled

close = unix_events.{loop}.close

def close_and_signal(loop):
    close(loop)
    os.kill(os.getpid(), signal.{signal})

unix_events.{loop}.close = close_and_signal
run_until_signalled(Service())
print("ended", flush=True)
os.kill(os.getpid(), signal.{signal})
"""
KILLED_BY_TERM = -signal.SIGTERM  # before Python has got as far as the command


def has_signed_on(process):
    return Process.objects.filter(pid=process.pid).exists()


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_stopped_command_exits_cleanly(site, command, number):
    process = site.manage(command)
    wait_until(lambda: has_signed_on(process), "it has signed on")
    process.send(number)
    assert process.ends() == 0
    assert not Process.objects.exists()


@pytest.mark.usefixtures("forked")
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_repeatedly_stopped_command_exits_cleanly(site, command, number):
    process = site.manage(command)
    wait_until(lambda: has_signed_on(process), "it has signed on")

    def ends():
        process.send(number)
        return not process.is_up

    wait_until(ends)
    assert process.ends() == 0
    assert not Process.objects.exists()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_command_stopped_before_it_serves_exits_silently(site, number):
    process = site.run(sys.executable, "-c", GETTING_READY)
    process.says("getting ready")
    process.send(number)
    assert process.ends() == 0
    assert process.output == "getting ready\n"


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    "loop", ["_UnixSelectorEventLoop", "selector_events.BaseSelectorEventLoop"]
)
def test_a_command_stopped_while_it_exits_exits_silently(site, loop, number):
    code = SIGNALLED_AS_ITS_LOOP_CLOSES.format(loop=loop, signal=number.name)
    process = site.run(sys.executable, "-c", code)
    assert process.ends() == 0
    assert process.output == "ended\n"


# All commands start in the same way. Together, they are stopped at each tenth of a second.
@pytest.mark.parametrize(
    ("command", "moments"),
    [
        ("sisy", (0.0, 0.3, 0.6, 0.9)),
        ("sisy_heartbeat", (0.1, 0.4, 0.7, 1.0)),
        ("sisy_worker", (0.2, 0.5, 0.8, 1.1)),
    ],
)
def test_a_command_stopped_while_it_starts_leaves_nothing_behind(site, command, moments):
    """A container that is ended as soon as it was begun, as by a deploy that fails."""
    for used in moments:
        Task.run_once(jobs.record)
        process = site.manage(command)
        cpu = psutil.Process(process.pid).cpu_times

        def is_there(cpu=cpu, process=process, used=used):
            return has_signed_on(process) or cpu().user >= used

        wait_until(is_there, f"it has used {used} s", longest=SHORTEST)
        assert process.stop() in (0, KILLED_BY_TERM)
        assert not Process.objects.exists()
        assert not Run.objects.running().exists()
    assert set(Run.objects.values_list("attempt", "state")) <= {
        (0, RunState.QUEUED),
        (1, RunState.SUCCEEDED),
    }
