"""The words that the records' columns hold."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class TaskState(models.TextChoices):
    """Whether the heartbeat plans a task."""

    ACTIVE = "active", _("active")
    PAUSED = "paused", _("paused")
    BROKEN = "broken", _("broken")
    """Its schedule, zone or window cannot be read; planned again once that is mended."""
    RETIRED = "retired", _("retired")
    """No occurrence is left; deleted when its last run has finished."""


class RunState(models.TextChoices):
    """Where a run stands; see the state diagram in ``docs/reference/states.md``."""

    WAITING = "waiting", _("waiting")
    RUNNING = "running", _("running")
    SUCCEEDED = "succeeded", _("succeeded")
    FAILED = "failed", _("failed")
    TIMED_OUT = "timed out", _("timed out")
    CANCELLED = "cancelled", _("cancelled")
    LOST = "lost", _("lost")
    MISSED = "missed", _("missed")
    SKIPPED = "skipped", _("skipped")


LIVE_STATES = (RunState.WAITING, RunState.RUNNING)
TROUBLE_STATES = tuple(
    state for state in RunState if state not in (*LIVE_STATES, RunState.SUCCEEDED)
)
"""Those that few runs come to, and that people look for."""


class Origin(models.TextChoices):
    """What asked for a run."""

    SCHEDULE = "schedule", _("schedule")
    ONCE = "once", _("run once")
    PERSON = "person", _("run now")
    RETRY = "retry", _("retry")
    BACKFILL = "backfill", _("backfill")


class Missed(models.TextChoices):
    """What to do with occurrences that fell due while nothing ticked."""

    LATEST = "latest", _("run the latest")
    ALL = "all", _("run all of them")
    SKIP = "skip", _("run none of them")


class Overlap(models.TextChoices):
    """What to do when a run of the task is still going."""

    SKIP = "skip", _("skip the new run")
    ALLOW = "allow", _("run both")
    BUFFER_ONE = "buffer_one", _("let one wait for its turn")
    BUFFER_ALL = "buffer_all", _("let all wait for their turn")
    CANCEL_OTHER = "cancel_other", _("ask the running one to end")
    TERMINATE_OTHER = "terminate_other", _("force the running one to end")


class OnLost(models.TextChoices):
    """What to do with a run whose worker died."""

    RERUN = "rerun", _("run it again")
    FAIL = "fail", _("record it as lost")


class Role(models.TextChoices):
    """What a process does."""

    HEARTBEAT = "heartbeat", _("heartbeat")
    WORKER = "worker", _("worker")
