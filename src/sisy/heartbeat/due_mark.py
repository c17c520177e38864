"""Remember before which moment no task is due, so that a heartbeat does not read that part again.

Each plan moves a task to a later place in the index of what is due. The entry that it leaves stays
there until no transaction can see it any more. `sisy.worker.low_water` does the same for queued
runs. A wrong mark delays an occurrence by two seconds at most.
"""

from datetime import datetime

from sisy.runtime.loop import Renewal
from sisy.store.statements import BEGINNING, MARK_SLACK


class DueMark:
    """The low-water mark of one heartbeat."""

    def __init__(self) -> None:
        self._renewal = Renewal()
        self._since = BEGINNING

    @property
    def since(self) -> datetime:
        """The moment before which no task is due."""
        return self._since

    def next_look(self) -> datetime:
        """Return from which moment the next look reads: every two seconds, from the beginning."""
        if self._renewal.is_due():
            self._since = BEGINNING
        self._renewal.begin()
        return self._since

    def note(self, next_run: datetime | None, now: datetime) -> None:
        """Note the result of the look: when the next task is due, if any is."""
        if self._since == BEGINNING:
            self._renewal.end()
        self._since = now - MARK_SLACK if next_run is None else min(next_run, now - MARK_SLACK)

    def hasten(self) -> None:
        """Let the next look read from the beginning: tasks may be due that were not before."""
        # A long transaction may commit a change whose first moment lies before the mark.
        self._renewal.hasten()

    def reset(self) -> None:
        """Read from the beginning until the next look: tasks may be due at any moment."""
        self._since = BEGINNING
