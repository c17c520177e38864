"""A command of manage.py by a clock that we set.

The environment's SISY_TEST_CLOCK names the file in which the clock's moment stands.
"""

import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

from sisy import clock

# Before the 100 ms in which a worker starts runs ahead of their moment.
ALMOST_A_SECOND = timedelta(milliseconds=800)


class FileClock:
    """A clock that stands at the moment that its file names, in all processes that look at it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def set(self, moment: datetime) -> None:
        """Let it be ``moment``, and almost a second more: the next one is then soon looked for."""
        self.set_exactly(moment + ALMOST_A_SECOND)

    def set_exactly(self, moment: datetime) -> None:
        """Let it be ``moment``."""
        new = self._path.with_suffix(".new")
        new.write_text(moment.isoformat())
        new.replace(self._path)

    def now(self, using: str) -> datetime:
        return datetime.fromisoformat(self._path.read_text())

    last_known = earliest = now

    def read_again(self, using: str) -> None:
        """Do nothing: each look is exact."""


def main() -> None:
    from django.core.management import execute_from_command_line

    with clock.use(FileClock(Path(os.environ["SISY_TEST_CLOCK"]))):
        execute_from_command_line(sys.argv)
