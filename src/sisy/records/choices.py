"""The values of the columns of tasks, runs and processes, and how they read in a sentence."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class TaskState(models.TextChoices):
    """The state of a task."""

    ACTIVE = "active", _("active")
    """The heartbeat plans its occurrences."""
    PAUSED = "paused", _("paused")
    """Not planned until you resume it, or until ``paused_until``; ``state_reason`` says why."""
    BROKEN = "broken", _("broken")
    """It cannot be planned, or the object whose method it calls was deleted."""
    RETIRED = "retired", _("retired")
    """No occurrences are left; deleted when its last run has finished, unless code declares it."""


class RunState(models.TextChoices):
    """The state of a run."""

    QUEUED = "queued", _("queued")
    """Planned or submitted. A worker calls its function from ``ready_at`` on."""
    RUNNING = "running", _("running")
    """Claimed. A worker executes it, or is about to."""
    SUCCEEDED = "succeeded", _("succeeded")
    """Its function returned."""
    FAILED = "failed", _("failed")
    """Its function raised an exception or does not exist, and no attempts are left."""
    TIMED_OUT = "timed_out", _("timed out")
    """Its function exceeded ``timeout``, and no attempts are left."""
    CANCELLED = "cancelled", _("cancelled")
    """Cancelled while it was queued, or stopped on request while it was running."""
    LOST = "lost", _("lost")
    """Its worker died, and it will not run again."""
    MISSED = "missed", _("missed")
    """No heartbeat planned it in time; one row can represent many occurrences."""
    SKIPPED = "skipped", _("skipped")
    """Never started. The ``overlap`` policy skipped it because of another run of its task."""


LIVE_STATES = (RunState.QUEUED, RunState.RUNNING)
FAILED_STATES = (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)
"""The states of runs that were executed without success."""
TROUBLE_STATES = tuple(
    state for state in RunState if state not in (*LIVE_STATES, RunState.SUCCEEDED)
)
"""The states that few runs reach, and that people search for."""


class ChangedBy(models.TextChoices):
    """The kind of author of a change of a task."""

    PERSON = "person", _("a person")
    """A user of the dashboard or the admin."""
    COMMAND = "command", _("a command")
    """A person who called a command of Sisy, such as ``sisy_tasks``."""
    DECLARATION = "declaration", _("the declaration in code")
    """The sync of declared tasks, which ``migrate`` runs at each deploy."""
    HEARTBEAT = "heartbeat", _("the end of the pause")
    """A heartbeat, which resumes a task when its pause ends."""
    CODE = "code", _("code")
    """Any other code of the project, such as a view, a shell or a run."""


class Origin(models.TextChoices):
    """The source of a run."""

    SCHEDULE = "schedule", _("schedule")
    """The heartbeat, by the task's schedule."""
    ONCE = "once", _("run once")
    """``Task.run_once`` or ``Task.bulk_run_once``."""
    ENQUEUED = "enqueued", _("enqueued")
    """``django.tasks``, through `sisy.backends.SisyBackend`."""
    MANUAL = "manual", _("run now")
    """``Task.run_now``, by code, a command or a button."""
    RETRY = "retry", _("retry")
    """``Run.retry``, for a finished run."""
    BACKFILL = "backfill", _("backfill")
    """``Task.backfill``, for an occurrence in the past."""


class Missed(models.TextChoices):
    """The policy for occurrences that were missed while no heartbeat was running."""

    LATEST = "latest", _("run the latest")
    """Run the most recent one; record the rest as one row."""
    ALL = "all", _("run all")
    """Run each of them, oldest first, but only the ``SISY_MISSED_LIMIT`` most recent ones."""
    SKIP = "skip", _("run none")
    """Run none of them; record all as one row."""


class Overlap(models.TextChoices):
    """The policy for a run that is due while another run of the task is running."""

    SKIP = "skip", _("skip the new run")
    """Skip the new run, and record it as skipped."""
    ALLOW = "allow", _("run both")
    """Run both at the same time."""
    BUFFER_ONE = "buffer_one", _("queue one run, skip the rest")
    """Queue one run behind the running one, and skip the others."""
    BUFFER_ALL = "buffer_all", _("queue all runs")
    """Queue the runs behind the running one, at most ``SISY_BUFFER_LIMIT``."""
    CANCEL_OTHER = "cancel_other", _("ask the running one to stop")
    """Ask the running one to stop, and start when it has."""
    TERMINATE_OTHER = "terminate_other", _("terminate the running one")
    """Terminate the running one, and start when it has ended."""


class OnLost(models.TextChoices):
    """The policy for a run whose worker died."""

    RERUN = "rerun", _("rerun it")
    """Rerun it, at most ``SISY_LOST_LIMIT`` times."""
    FAIL = "fail", _("record it as lost")
    """Record it as lost, and do not rerun it."""


class Role(models.TextChoices):
    """The role of a process."""

    HEARTBEAT = "heartbeat", _("heartbeat")
    """Plans due tasks."""
    WORKER = "worker", _("worker")
    """Executes the runs of its queues."""
    ENGINE = "engine", _("engine")
    """Executes one run for another engine."""


class Event(models.TextChoices):
    """The reason for a message of the outbox."""

    OPENED = "opened", _("opened")
    """An alert was opened."""
    RECOVERED = "recovered", _("recovered")
    """The problem of an alert is over."""
    DIGEST = "digest", _("digest")
    """Several alerts were opened together."""
    TEST = "test", _("test")
    """``manage.py sisy_alerts test``."""
    PING = "ping", _("ping")
    """A ping to another service."""


STOPPED = "It stopped normally."
"""The reason of a process that stopped on request."""


def with_reason(words: str, reason: str) -> str:
    """Return "was cancelled: The host restarts." or "was cancelled by ann.", with any reason.

    Args:
        words: the state as a verb. If the reason begins with its last word, as in "Cancelled by
            ann.", that word is not repeated.
    """
    last = words.rpartition(" ")[2]
    if reason.lower().startswith((f"{last} ", f"{last}.")):
        return words + reason[len(last) :]
    return f"{words}: {reason}" if reason else f"{words}."
