"""A site under test: a database of its own, perhaps a channel layer, and its processes."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connections
from django.db.utils import load_backend

from tests.processes.forks import Forks
from tests.processes.process import ROOT, Process, start_program

MANAGE = (sys.executable, str(ROOT / "tests" / "manage.py"))
MANAGED = "django.core.management:execute_from_command_line"
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONDONTWRITEBYTECODE", "COVERAGE_PROCESS_START")


class Site:
    """Starts the processes of one site, and ends what is left of them.

    Args:
        folder: for the logs.
        database: the environment that names the database, and the channel layer.
    """

    def __init__(self, folder: Path, database: dict[str, str]) -> None:
        self.folder = folder
        self.processes: list[Process] = []
        self.accepted: list[str] = []
        self.environment = {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            **database,
            "DJANGO_SETTINGS_MODULE": "tests.processes.settings",
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "default",
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]),
        }

    def set(self, **settings: Any) -> None:
        """Give the processes that start from now on other settings."""
        self.environment["SISY_TEST_SETTINGS"] = json.dumps(settings)

    def manage(self, *arguments: str, **environment: str) -> Process:
        """Start a command of ``manage.py``."""
        return self.run(*MANAGE, *arguments, **environment)

    def fork(
        self, forks: Forks, *arguments: str, main: str = MANAGED, **environment: str
    ) -> Process:
        """Start a command of ``manage.py`` as a fork, without what a start costs.

        Args:
            main: the function that executes the command, as ``module:name``.
        """
        return self.run(main, *arguments, start=forks.start, **environment)

    def run(
        self,
        *command: str,
        cwd: Path = ROOT,
        start: Callable[..., Any] = start_program,
        **environment: str,
    ) -> Process:
        """Start any command in the site's environment."""
        log = self.folder / f"process-{len(self.processes) + 1}.log"
        process = Process(command, {**self.environment, **environment}, log, cwd, start)
        self.processes.append(process)
        return process

    def close(self) -> None:
        """Kill what still runs, and show what all have written (pytest does, of a failed test).

        Raises:
            AssertionError: one of them wrote that something went wrong.
        """
        for process in self.processes:
            process.clear_away()
            print(f"--- {' '.join(process.command)}\n{process.output}")
        complaints = [line for process in self.processes for line in process.complaints()]
        assert [line for line in complaints if not any(map(line.count, self.accepted))] == []


@contextmanager
def default_database(settings: dict[str, Any]) -> Iterator[None]:
    """Let the models of this process, the test's, read and write another database for a while."""
    configured = connections.configure_settings({"default": settings})["default"]
    usual = connections["default"]
    wrapper = load_backend(configured["ENGINE"]).DatabaseWrapper(configured, "default")
    connections["default"] = wrapper
    try:
        yield
    finally:
        wrapper.close()
        connections["default"] = usual
