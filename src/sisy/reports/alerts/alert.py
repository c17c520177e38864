"""An alert, its severity, and the thresholds above which a problem becomes an alert."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import models

from sisy.planning.timing import ON_TIME_TOLERANCE


class Severity(models.TextChoices):
    """The severity of an alert."""

    CRITICAL = "critical"
    """Sisy does not work: no runs are planned, or a queue has no worker."""
    ERROR = "error"
    """A task or a worker does not work."""
    WARNING = "warning"
    """Something failed or was delayed, and may have recovered."""
    INFO = "info"
    """A user caused it on purpose, for example by pausing a queue."""


class Kind(models.TextChoices):
    """The subject of an alert."""

    NO_HEARTBEAT = "no_heartbeat"
    NO_WORKER = "no_worker"
    WORKER_PROBLEM = "worker_problem"
    QUEUE_PAUSED = "queue_paused"
    BROKEN = "broken"
    FAILED = "failed"
    LATE = "late"
    QUEUED = "queued"
    MISSED = "missed"
    SCHEDULE = "schedule"
    TARGET = "target"
    TARGET_MISSING = "target_missing"


SITE_KINDS = {Kind.NO_HEARTBEAT, Kind.NO_WORKER, Kind.WORKER_PROBLEM, Kind.QUEUE_PAUSED}


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
    what: str = ""
    """The label of the task; empty if it is about the site or a queue."""
    fix: str = ""
    """The fix, if ``why`` does not name it."""
    since: datetime | None = None
    threshold: timedelta | None = None
    """The time that it may last before it is an alert; None if it is an alert at once."""
    badge: str = ""
    """The state of the task or the run, if that is the problem."""
    queues: tuple[str, ...] = ()
    """The queues whose runs are affected."""
    task: int | None = None
    run: int | None = None
    number: int = 1
    """The number of problems that the row represents."""

    @property
    def is_about_site(self) -> bool:
        """Return whether it is about processes and queues, not about single tasks and runs."""
        return self.kind in SITE_KINDS
