"""``python -m tests.processes.crashing COMMAND …``: a command of manage.py that ends itself.

The environment names the point by SISY_TEST_POINT, by SISY_TEST_SIGNAL the signal that the process
sends to itself when it first gets there, and by SISY_TEST_REACHED the file that then says so.
"""

import functools
import os
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import django

from tests.processes.crash_points import POINTS, Point


class Crash:
    """Ends the process once."""

    def __init__(self, number: int, reached: Path) -> None:
        self._number = number
        self._reached = reached
        self._lock = threading.Lock()

    def __call__(self) -> None:
        with self._lock:
            if not self._reached.exists():
                self._reached.touch()
                os.kill(os.getpid(), self._number)


def watch(point: Point, crash: Crash) -> None:
    """Have the process crash at a point."""
    owner, name = _resolve(point.function)
    function = getattr(owner, name)

    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if point.is_before:
            crash()
            return function(*args, **kwargs)
        result = function(*args, **kwargs)
        if point.counts(result):
            crash()
        return result

    setattr(owner, name, watched)


def _resolve(path: str) -> tuple[Any, str]:
    """Return the module or class that has the function, and its name there."""
    head, _, name = path.rpartition(".")
    try:
        return import_module(head), name
    except ModuleNotFoundError:
        module, _, klass = head.rpartition(".")
        return getattr(import_module(module), klass), name


def main() -> None:
    from django.core.management import execute_from_command_line

    django.setup()
    number = signal.Signals(int(os.environ["SISY_TEST_SIGNAL"]))
    crash = Crash(number, Path(os.environ["SISY_TEST_REACHED"]))
    watch(POINTS[os.environ["SISY_TEST_POINT"]], crash)
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
