"""The words that the records' columns hold."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class TaskState(models.TextChoices):
    """Whether the heartbeat plans a task."""

    ACTIVE = "active", _("active")
    """Planned: it is due as its schedule says."""
    PAUSED = "paused", _("paused")
    """Not planned until somebody resumes it; ``state_reason`` says why."""
    BROKEN = "broken", _("broken")
    """Its schedule or zone cannot be read, or its object was deleted; see ``state_reason``."""
    RETIRED = "retired", _("retired")
    """No occurrence is left; deleted when its last run has finished."""


class RunState(models.TextChoices):
    """Where a run stands; see the state diagram in ``docs/reference/states.md``."""

    WAITING = "waiting", _("waiting")
    """Planned or submitted: a worker may claim it from ``ready_at`` on."""
    RUNNING = "running", _("running")
    """Claimed: a worker carries it out, or is about to."""
    SUCCEEDED = "succeeded", _("succeeded")
    """Its function returned."""
    FAILED = "failed", _("failed")
    """Its function raised, or could not be found, and no attempt is left."""
    TIMED_OUT = "timed out", _("timed out")
    """Its function took longer than ``timeout``, and no attempt is left."""
    CANCELLED = "cancelled", _("cancelled")
    """Cancelled while it was queued, or asked to end while it was running."""
    LOST = "lost", _("lost")
    """Its worker died, and it is not to be run again."""
    MISSED = "missed", _("missed")
    """No heartbeat planned it in time; the row may stand for many occurrences."""
    SKIPPED = "skipped", _("skipped")
    """Never begun, since another run of its task was in the way."""


LIVE_STATES = (RunState.WAITING, RunState.RUNNING)
FAILED_STATES = (RunState.FAILED, RunState.TIMED_OUT, RunState.LOST)
"""Those of runs that were carried out, and did not come to a good end."""
TROUBLE_STATES = tuple(
    state for state in RunState if state not in (*LIVE_STATES, RunState.SUCCEEDED)
)
"""Those that few runs come to, and that people look for."""


class Origin(models.TextChoices):
    """What asked for a run."""

    SCHEDULE = "schedule", _("schedule")
    """The heartbeat, since the schedule named the moment."""
    ONCE = "once", _("run once")
    """``Task.run_once`` or ``Task.bulk_run_once``."""
    ENQUEUED = "enqueued", _("enqueued")
    """By ``django.tasks``, on `sisy.backends.SisyBackend`."""
    PERSON = "person", _("run now")
    """``Task.run_now``, by code, a command or a button."""
    RETRY = "retry", _("retry")
    """``Run.retry``, for a run that is over."""
    BACKFILL = "backfill", _("backfill")
    """``Task.backfill``, for an occurrence in the past."""


class Missed(models.TextChoices):
    """What to do with occurrences that fell due while nothing ticked."""

    LATEST = "latest", _("run the latest")
    """Run the newest of them; the rest are one row in the ledger."""
    ALL = "all", _("run all of them")
    """Run each, the oldest first, at most ``SISY_MISSED_LIMIT`` of the newest."""
    SKIP = "skip", _("run none of them")
    """Run none of them; all are one row in the ledger."""


class Overlap(models.TextChoices):
    """What to do when a run of the task is still going."""

    SKIP = "skip", _("skip the new run")
    """Skip the new run, and say so in the ledger."""
    ALLOW = "allow", _("run both")
    """Run both at once."""
    BUFFER_ONE = "buffer_one", _("let one wait for its turn")
    """Let one run wait for its turn, and skip the others."""
    BUFFER_ALL = "buffer_all", _("let all wait for their turn")
    """Let all wait for their turn, ``SISY_BUFFER_LIMIT`` of them at most."""
    CANCEL_OTHER = "cancel_other", _("ask the running one to end")
    """Ask the running one to end, and begin once it has."""
    TERMINATE_OTHER = "terminate_other", _("force the running one to end")
    """End the running one by force, and begin once it has ended."""


class OnLost(models.TextChoices):
    """What to do with a run whose worker died."""

    RERUN = "rerun", _("run it again")
    """Run it again, ``SISY_LOST_LIMIT`` times at most."""
    FAIL = "fail", _("record it as lost")
    """Record it as lost, once and for all."""


class Role(models.TextChoices):
    """What a process does."""

    HEARTBEAT = "heartbeat", _("heartbeat")
    """It plans what is due."""
    WORKER = "worker", _("worker")
    """It carries out the runs of its queues."""
    ENGINE = "engine", _("engine")
    """It carries out one run that was handed to another engine."""
