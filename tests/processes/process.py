"""A real process under test, and waiting for what it does."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.support.waiting import WAIT_TIMEOUT as WAIT_TIMEOUT
from tests.support.waiting import wait_until as wait_until

ROOT = Path(__file__).parent.parent.parent
COMPLAINTS = (
    "Traceback (most recent call last)",
    "Exception ignored",
    "was never awaited",
    "was destroyed but it is pending",
    "Warning: ",
)
"""What a process that is well never writes."""

RUN_ENDED = re.compile(r" #\d+ (will be retried|failed|timed out|was lost): ")


def start_program(
    command: list[str], environment: dict[str, str], log: Path, cwd: Path
) -> subprocess.Popen[bytes]:
    """Start a program whose output goes to the file ``log``."""
    with log.open("wb") as output:
        # A session of its own: whatever it starts can be ended with it, and nothing else.
        return subprocess.Popen(
            command,
            env=environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


class Process:
    """A process whose output goes to a file.

    Args:
        command: what to run.
        environment: all of it.
        log: the file.
        cwd: the folder to run it in; by default the project's.
        start: starts the command; by default as a program.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        log: Path,
        cwd: Path = ROOT,
        start: Callable[..., Any] = start_program,
    ) -> None:
        self.command = [str(part) for part in command]
        self._log = log
        self._popen = start(self.command, environment, log, cwd)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def is_up(self) -> bool:
        return self._popen.poll() is None

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def says(self, text: str, times: int = 1) -> None:
        """Wait until it has written ``text``."""

        def said() -> bool:
            assert self.is_up or self.output.count(text) >= times, f"it ended: {self.output}"
            return self.output.count(text) >= times

        wait_until(said, f"{self.command} says {text!r}")

    def send(self, number: int) -> None:
        self._popen.send_signal(number)

    def ends(self, patience: float = WAIT_TIMEOUT) -> int:
        """Wait for its end, and return its exit code."""
        return self._popen.wait(patience)

    def stop(self, patience: float = WAIT_TIMEOUT) -> int:
        """Ask it to end, and return its exit code."""
        self.send(signal.SIGTERM)
        return self.ends(patience)

    def clear_away(self) -> None:
        """Kill it, and whatever it has started, if anything is left."""
        with suppress(psutil.NoSuchProcess):
            # A process manager starts groups of their own.
            for child in psutil.Process(self.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait(WAIT_TIMEOUT)

    def complaints(self) -> list[str]:
        """Return the lines of its output that show that something in it went wrong.

        The traceback of a function that raised is none: it stands indented below its log line.
        """
        found, record = [], ""
        for line in self.output.splitlines():
            record = record if line.startswith(" ") else line
            is_of_a_run = line != record and RUN_ENDED.search(record) is not None
            if not is_of_a_run and any(complaint in line for complaint in COMPLAINTS):
                found.append(line)
        return found
