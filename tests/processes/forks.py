"""Processes of a site that are forked from one that has imported everything already.

Half of the CPU time of a short-lived process goes into the start of Python and the import of
Django. A test that starts hundreds of them, and is not about how they start, can do without. What
the environment says to Python itself, such as PYTHONPATH, has no effect on a fork.

``python -m tests.processes.forks`` is the process from which the others are forked. It reads what
to start from its standard input, a line of JSON each, and answers in the same way.
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from tests.support.waiting import WAIT_TIMEOUT, wait_until


class Forks:
    """Starts forks, and tells how they ended.

    Args:
        environment: of the process from which all are forked. It names a database of the kind
            that theirs have.
    """

    def __init__(self, environment: dict[str, str], cwd: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.processes.forks"],
            env=environment,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(
        self, command: list[str], environment: dict[str, str], log: Path, cwd: Path
    ) -> "Fork":
        """Call a function with arguments of a command line; its output goes to the file ``log``.

        Args:
            command: the function as ``module:name``, and the arguments.
        """
        log.touch()  # it can be read at once, as that of a program
        asked = {"command": command, "environment": environment, "log": str(log), "cwd": str(cwd)}
        return Fork(self.ask(asked), self)

    def ask(self, question: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(question)}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=WAIT_TIMEOUT)


class Fork:
    """A forked process, to be used like ``subprocess.Popen``."""

    def __init__(self, pid: int, forks: Forks) -> None:
        self.pid = pid
        self._forks = forks
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, or None while it is up."""
        if self._code is None:
            self._code = self._forks.ask(self.pid)
        return self._code

    def wait(self, timeout: float) -> int:
        """Return its exit code once it has ended."""
        wait_until(lambda: self.poll() is not None, f"process {self.pid} has ended", timeout)
        assert self._code is not None
        return self._code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def main() -> None:
    import django

    django.setup()
    # What the commands import when they begin.
    importlib.import_module("sisy.management.commands.sisy")
    importlib.import_module("sisy.heartbeat.role")
    importlib.import_module("sisy.worker.role")
    importlib.import_module("sisy.templatetags.sisy_dashboard")  # by the checks of templates
    importlib.import_module("tests.processes.urls")
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, int):
            answer = _code_of(asked)
        elif (answer := os.fork()) == 0:
            _become(**asked)
            return
        print(json.dumps(answer), flush=True)


def _code_of(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _become(command: list[str], environment: dict[str, str], log: str, cwd: str) -> None:
    """Continue in a fork as if it had been started with this command."""
    os.setsid()
    os.chdir(cwd)
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for own, other in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(own, other)
    os.environ.clear()
    os.environ.update(environment)
    _read_settings()
    function, *arguments = command
    sys.argv = ["manage.py", *arguments]
    resolve_name(function)()


def _read_settings() -> None:
    from django.conf import settings
    from django.db import connections

    # What was configured for the database of the process that forks. It is not connected.
    for connection in connections.all(initialized_only=True):
        assert connection.connection is None
        del connections[connection.alias]
    del connections.settings
    connections._settings = None
    for name in ("tests.settings", "tests.processes.settings"):
        module = importlib.reload(importlib.import_module(name))
    for name in filter(str.isupper, vars(module)):
        setattr(settings, name, getattr(module, name))


if __name__ == "__main__":
    main()
