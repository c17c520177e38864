"""Functions for pools of processes: they use the processor, die, hold on, and start programs."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil

import sisy
from tests.app.models import Execution


def spins(message):
    """Use the processor, and never ask whether to go on."""
    Execution.log(message).save()
    deadline = time.monotonic() + message["task"].userdata.get("seconds", 600)
    while time.monotonic() < deadline:
        pass
    return os.getpid()


def holds_the_lock(message):
    """Search for so long without letting go of Python's global lock that nobody would wait."""
    Execution.log(message).save()
    re.match(r"(a|a|a)*$", "a" * 60 + "b")


def starts_a_program(message):
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    task = message["task"]
    task.userdata["program"] = program.pid
    task.save()
    Execution.log(message).save()
    program.wait()


def asks(message):
    Execution.log(message).save()
    while True:
        sisy.current_run().check()
        time.sleep(0.01)


def returns_pid(message):
    return os.getpid()


def grows(message):
    """Take 200 MB for good."""
    sys.modules[__name__].kept = b"a" * 200_000_000
    return os.getpid()


def is_killed(message):
    Execution.log(message).save()
    os.kill(os.getpid(), signal.SIGKILL)


def reports_others(message):
    """Return which processes that began this run before are still alive, in the second attempt."""
    before = Execution.objects.filter(run=message["message"]["run"]).values_list("pid", flat=True)
    alive = [pid for pid in before if pid != os.getpid() and psutil.pid_exists(pid)]
    Execution.log(message).save()
    if message["message"]["attempt"] == 1:
        time.sleep(600)
    return alive
