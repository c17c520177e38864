"""The kinds of problems that Sisy finds, and how severe they are.

Alerts, and the reports of the dashboard, commands and probes, use the same kinds.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class Severity(models.TextChoices):
    """The severity of a problem."""

    CRITICAL = "critical", _("critical")
    """Sisy does not work: no runs are planned, or a queue has no worker."""
    ERROR = "error", _("error")
    """A task or a worker does not work."""
    WARNING = "warning", _("warning")
    """Something failed or was delayed, and may have recovered."""
    INFO = "info", _("info")
    """It needs no action now: a user paused a queue, for example, or a delay is over."""


class Kind(models.TextChoices):
    """The kind of a problem."""

    NO_HEARTBEAT = "no_heartbeat", _("no heartbeat")
    """A heartbeat died, or none is running."""
    NO_WORKER = "no_worker", _("no worker")
    """A queue has runs, but no worker."""
    WORKER_PROBLEM = "worker_problem", _("worker problem")
    """A worker cannot start runs."""
    QUEUE_PAUSED = "queue_paused", _("queue paused")
    """A person has paused a queue."""
    BROKEN = "broken", _("broken")
    """A task cannot be planned, or its function does not exist."""
    FAILING = "failing", _("failing")
    """The latest runs of a task failed."""
    FAILED = "failed", _("failed")
    """Some runs of a task failed in the last 24 hours."""
    LOST = "lost", _("lost")
    """The worker of a run died, and the run is not rerun."""
    LATE = "late", _("late")
    """An occurrence or a run has not started in time."""
    SLOW = "slow", _("too slow")
    """A run takes longer than expected, or hangs."""
    STALLED = "stalled", _("stalled")
    """A run reports no progress."""
    SILENT = "silent", _("silent")
    """No run of a task has succeeded for too long."""
    QUEUED = "queued", _("queue delayed")
    """The oldest run of a queue waits too long."""
    MISSED = "missed", _("missed")
    """Occurrences of a task were missed."""
    SCHEDULE = "schedule", _("schedule")
    """The schedule of stored tasks is not valid."""
    TARGET = "target", _("function")
    """The function of stored tasks cannot be called."""
    TARGET_MISSING = "target_missing", _("function missing")
    """The function of a task was missing when the task last ran."""


SITE_KINDS = {
    Kind.NO_HEARTBEAT,
    Kind.NO_WORKER,
    Kind.WORKER_PROBLEM,
    Kind.QUEUE_PAUSED,
}
"""The kinds that are about processes and queues, not about single tasks and runs."""

CRITICAL_KINDS = {Kind.NO_HEARTBEAT, Kind.NO_WORKER}
WARNING_KINDS = {Kind.LATE, Kind.SLOW, Kind.STALLED, Kind.QUEUED, Kind.MISSED}


def severity_of(kind: str) -> Severity:
    """Return the severity of an alert of a kind."""
    if kind in CRITICAL_KINDS:
        return Severity.CRITICAL
    return Severity.WARNING if kind in WARNING_KINDS else Severity.ERROR
