"""What a task function may know about its own run."""

import time
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta

from sisy.exceptions import NoCurrentRun, RunTimedOut


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentRun:
    """The run that a task function is carrying out; see `current_run`."""

    id: int
    label: str
    due_at: datetime | None
    attempt: int
    started: float
    timeout: timedelta | None

    def check(self) -> None:
        """End the run if its time is up; call it now and then in a long synchronous function.

        Raises:
            RunTimedOut: the task's ``timeout`` has passed; let it through, and the run is
                recorded as timed out.
        """
        if self.timeout is not None:
            taken = time.monotonic() - self.started
            if taken > self.timeout.total_seconds():
                raise RunTimedOut(f"The run took {taken:.1f} s of the {self.timeout} it has.")


variable: ContextVar[CurrentRun] = ContextVar("sisy.current_run")


def current_run() -> CurrentRun:
    """Return the run that the calling task function carries out.

    Raises:
        NoCurrentRun: called from elsewhere.
    """
    try:
        return variable.get()
    except LookupError:
        raise NoCurrentRun(
            "current_run() knows a run only inside a task function that a worker called."
        ) from None
