"""An alert, and the thresholds above which a problem becomes one."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sisy.models import Alert as AlertRecord
from sisy.planning.timing import ON_TIME_TOLERANCE
from sisy.records.problems import SITE_KINDS
from sisy.records.problems import Kind as Kind
from sisy.records.problems import Severity as Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The time for which a problem may last before it is an alert.

    Attributes:
        late: a task is due but not planned.
        queued: a run is queued, although a worker could claim it.
        problem: a worker cannot start runs, but other workers serve its queues.
    """

    late: timedelta = ON_TIME_TOLERANCE
    queued: timedelta = timedelta(seconds=60)
    problem: timedelta = timedelta(0)


DEFAULT = Thresholds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One problem, or a number of further problems of its kind."""

    kind: Kind
    severity: Severity
    why: str
    cause: str = ""
    """The text that all alerts with the same cause share; empty if that is all of ``why``."""
    what: str = ""
    """The label of the task; empty if it is about the site or a queue."""
    fix: str = ""
    """The fix, if ``why`` does not name it."""
    since: datetime | None = None
    until: datetime | None = None
    """The last of the occurrences that were missed, or the end of a delay; otherwise None."""
    missed: int = 1
    """The number of occurrences that were missed, if no range says it."""
    threshold: timedelta | None = None
    """The time that it may last before it is an alert; None if it is an alert at once."""
    badge: str = ""
    """The state of the task or the run, if that is the problem."""
    queues: tuple[str, ...] = ()
    """The queues whose runs are affected."""
    task: int | None = None
    path: str = ""
    """The function that failed runs without a task call."""
    run: int | None = None
    record: AlertRecord | None = None
    """The alert that people are notified of, if there is one."""
    closed: AlertRecord | None = None
    """The alert about it that a person has closed, if nothing new has happened since."""
    number: int = 1
    """The number of problems that the row represents."""
    full: str = ""
    """The text with all of the error, if the reader may see it; otherwise empty."""
    is_flapping: bool = False
    """True if the task fails and recovers again and again."""
    is_over: bool = False
    """True if it is a delay of the last 24 hours that is over."""
    next_run: datetime | None = None
    """When a task that missed occurrences is due next; None if it is not due again."""
    again_at: datetime | None = None
    """When too many tasks of such a delay are due together again; None if they are not."""
    is_spreadable: bool = False
    """True if these tasks can be spread."""

    @property
    def is_about_site(self) -> bool:
        """Return whether it is about processes and queues, not about single tasks and runs."""
        return self.kind in SITE_KINDS
