"""A command of manage.py that ends itself. It is forked from a process that has set Django up.

The environment names the point by SISY_TEST_POINT, by SISY_TEST_SIGNAL the signal that the process
sends to itself when it first gets there, and by SISY_TEST_REACHED the file that then says so.
"""

import os
import signal
import sys
import threading
from pathlib import Path

from django.core.management import execute_from_command_line
from django.db.models.signals import post_save

from sisy.runtime import checkpoint
from tests.app.models import Execution
from tests.processes.crash_points import IN_THE_FUNCTION


class Crash:
    """Ends the process once, when it reaches a point."""

    def __init__(self, point: str, number: int, reached: Path) -> None:
        self._point = point
        self._number = number
        self._reached = reached
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        if name != self._point:
            return
        with self._lock:
            if not self._reached.exists():
                self._reached.touch()
                os.kill(os.getpid(), self._number)


def main() -> None:
    number = signal.Signals(int(os.environ["SISY_TEST_SIGNAL"]))
    point = os.environ["SISY_TEST_POINT"]
    crash = Crash(point, number, Path(os.environ["SISY_TEST_REACHED"]))
    checkpoint.watch(crash)
    # The functions of the tests note that they were called, and then go on.
    post_save.connect(lambda **_: crash(IN_THE_FUNCTION), sender=Execution, weak=False)
    execute_from_command_line(sys.argv)
