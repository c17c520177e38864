"""Notes which runs the users' edits withdraw: they were planned ahead, and must be gone."""

from typing import Any

from sisy import signals
from sisy.models import Run


class Withdrawals:
    """Hears of each run that this process withdraws, in any thread.

    Attributes:
        runs: their keys.
    """

    def __init__(self) -> None:
        self.runs: set[int] = set()

    def __enter__(self) -> "Withdrawals":
        signals.run_withdrawn.connect(self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        signals.run_withdrawn.disconnect(self._note)

    def _note(self, run: Run, **kwargs: Any) -> None:
        self.runs.add(run.pk)
