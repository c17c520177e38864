"""The columns of a task. `sisy.records.task_fields` says who sets each, and what it accepts."""

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from sisy import conf
from sisy.addresses import MAX_ADDRESS_LENGTH
from sisy.records.choices import Missed, OnLost, Overlap, TaskState
from sisy.records.fields import DataField, MomentField, ReasonField
from sisy.records.validators import MAX_NOTE_LENGTH


def default_schedule() -> str:
    return conf.get_settings().default_schedule


def default_timezone() -> str:
    return settings.TIME_ZONE


class TaskColumns(models.Model):
    """The columns of a task: the owner's first, then those that only Sisy sets."""

    label = models.CharField(_("label"), max_length=255)
    target_path = models.CharField(
        _("function"), max_length=500, help_text=_("The dotted path of the function.")
    )
    target_pk = models.CharField(  # noqa: DJ001 - an empty text may be a primary key
        _("object"),
        max_length=255,
        null=True,
        blank=True,
        help_text=_("The primary key of the object whose method the task calls."),
    )
    schedule = models.CharField(
        _("schedule"),
        max_length=255,
        default=default_schedule,
        help_text=_(
            "minute hour day-of-month month day-of-week, and optionally seconds last. "
            "If both day fields are restricted, either may match."
        ),
    )
    timezone = models.CharField(
        _("time zone"),
        max_length=64,
        default=default_timezone,
        help_text=_("The time zone of the schedule, such as Europe/Berlin."),
    )
    start_running = MomentField(
        _("start"),
        null=True,
        blank=True,
        help_text=_("The first moment at which the task may be due. Empty for no limit."),
    )
    end_running = MomentField(
        _("end"),
        null=True,
        blank=True,
        help_text=_("No runs are due at or after this moment. The task is then deleted."),
    )
    iterations = models.IntegerField(
        _("iterations"),
        null=True,
        blank=True,
        help_text=_("The task is deleted after this many runs. Empty for no limit."),
    )
    wait_for_schedule = models.BooleanField(
        _("wait for schedule"),
        default=True,
        help_text=_("If unchecked, the task also runs once as soon as it is active."),
    )
    _extra_data = DataField(_("user data"), default=dict, blank=True)

    note = models.TextField(
        _("note"),
        max_length=MAX_NOTE_LENGTH,
        blank=True,
        default="",
        db_default="",
        help_text=_(
            "What to do when the task fails, and who knows more. Markdown. Alerts contain it."
        ),
    )

    queue = models.CharField(_("queue"), max_length=60, default="default")
    priority = models.SmallIntegerField(
        _("priority"),
        default=0,
        help_text=_("-100 to 100. Runs with a higher priority start first."),
    )
    engine = models.CharField(
        _("engine"),
        max_length=60,
        default=conf.DEFAULT_ENGINE,
        help_text=_("The engine that executes the runs: a name in SISY_ENGINES."),
    )
    missed = models.CharField(
        _("missed runs"), max_length=20, choices=Missed, default=Missed.LATEST
    )
    missed_window = models.DurationField(
        _("missed window"),
        null=True,
        blank=True,
        help_text=_("The maximum age of missed occurrences to run. Empty for no limit."),
    )
    overlap = models.CharField(_("overlap"), max_length=20, choices=Overlap, default=Overlap.SKIP)
    max_attempts = models.SmallIntegerField(
        _("maximum attempts"),
        default=1,
        help_text=_(
            "The maximum number of attempts, including the first one. 1 means no retries."
        ),
    )
    retry_delay = models.DurationField(
        _("retry delay"),
        default=timedelta(seconds=10),
        help_text=_("The maximum delay before the first retry. The actual delay is random."),
    )
    retry_backoff = models.FloatField(
        _("retry backoff"),
        default=2.0,
        help_text=_(
            "The maximum delay is multiplied by this factor for each retry after the first."
        ),
    )
    retry_max_delay = models.DurationField(
        _("maximum retry delay"),
        default=timedelta(hours=1),
        help_text=_("The maximum delay before any retry."),
    )
    on_lost = models.CharField(
        _("if the worker dies"), max_length=20, choices=OnLost, default=OnLost.RERUN
    )
    timeout = models.DurationField(_("timeout"), null=True, blank=True)
    stalled_after = models.DurationField(
        _("stalled after"),
        null=True,
        blank=True,
        help_text=_("A running run that reports no progress for this long is stalled."),
    )
    spread = models.DurationField(
        _("spread"),
        default=timedelta(0),
        help_text=_(
            "Delays each start by up to this long, so that tasks do not all start at once. An "
            "occurrence always gets the same delay."
        ),
    )

    alert_after = models.SmallIntegerField(
        _("alert after"),
        null=True,
        blank=True,
        help_text=_(
            "Alert when this many runs in a row have failed. 0 for never. Empty for "
            "SISY_ALERT_AFTER."
        ),
    )
    start_within = models.DurationField(
        _("start within"),
        null=True,
        blank=True,
        help_text=_(
            "Alert if a run has not started this long after it is ready. Empty for never."
        ),
    )
    expected_duration = models.DurationField(
        _("expected duration"),
        null=True,
        blank=True,
        help_text=_("Alert if a run is still running after this long. Empty for never."),
    )
    success_every = models.DurationField(
        _("success every"),
        null=True,
        blank=True,
        help_text=_("Alert if no run has succeeded for this long. Empty for never."),
    )

    ping = models.CharField(
        _("ping"),
        max_length=MAX_ADDRESS_LENGTH,
        blank=True,
        default="",
        db_default="",
        help_text=_(
            "The secret address of a monitor such as Healthchecks, which Sisy tells when a run "
            "starts, succeeds or fails. Empty for none."
        ),
    )

    history_runs = models.IntegerField(
        _("history limit"),
        null=True,
        blank=True,
        help_text=_("The maximum number of finished runs to keep. Empty for SISY_HISTORY_RUNS."),
    )

    state = models.CharField(
        _("state"), max_length=20, choices=TaskState, default=TaskState.ACTIVE, editable=False
    )
    state_reason = ReasonField(_("reason"), max_length=500, blank=True, editable=False)
    paused_until = MomentField(
        _("paused until"),
        null=True,
        editable=False,
        help_text=_(
            "When a heartbeat resumes the task. Empty if it stays paused until you resume it."
        ),
    )
    target_error = ReasonField(_("function error"), max_length=500, blank=True, editable=False)
    next_run = MomentField(_("next run"), null=True, editable=False)
    last_run = MomentField(_("last run"), null=True, editable=False)
    planned_until = MomentField(
        _("planned until"),
        null=True,
        editable=False,
        help_text=_("The latest occurrence that was planned or recorded as missed."),
    )
    planning_since = MomentField(
        _("planning since"),
        null=True,
        editable=False,
        help_text=_("When its timing was last changed. Earlier occurrences are not planned."),
    )
    runs_planned = models.BigIntegerField(_("runs so far"), default=0, editable=False)
    silent_at = MomentField(
        _("silent from"),
        null=True,
        editable=False,
        help_text=_("When to check next whether a run has succeeded within success_every."),
    )
    pruned = models.JSONField(
        _("pruned runs"),
        default=dict,
        editable=False,
        help_text=_("The number of pruned occurrences, by the state of their runs."),
    )
    timing_fingerprint = models.TextField(_("timing fingerprint"), default="", editable=False)
    created_at = MomentField(_("created"), null=True, editable=False)
    name = models.CharField(  # noqa: DJ001 - any number of tasks may have none
        _("name"),
        max_length=255,
        null=True,
        editable=False,
        help_text=_("The name of the task in code or migrations. Empty if neither declares it."),
    )
    declaration = DataField(
        _("declaration"),
        null=True,
        editable=False,
        help_text=_("The field values that the code declared at the last sync."),
    )
    undeclared_at = MomentField(
        _("no longer declared"),
        null=True,
        editable=False,
        help_text=_("When the task was found to be no longer declared in code."),
    )

    class Meta:
        abstract = True
