"""Check-ins at Sentry: a monitor for each task, with its real schedule.

Sentry creates or updates the monitor with each check-in, and notices by itself if one is missing
or if a run takes too long. A check-in begins when the function is called, not when the run is
claimed up to 100 ms earlier: Sentry would expect another one at the moment itself.
"""

import math
import re
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

from sisy import conf
from sisy.exceptions import ScheduleError
from sisy.records.choices import LIVE_STATES, Origin, RunState
from sisy.records.instances import loaded
from sisy.schedules.crontab_export import as_crontab

if TYPE_CHECKING:
    from sentry_sdk.types import MonitorConfig

    from sisy.records.run import RunRecord
    from sisy.records.task import TaskRecord

MAX_SLUG_LENGTH = 50
MAX_MINUTES = 40_320  # 28 days, the longest that Sentry accepts
DEFAULT_MARGIN = timedelta(minutes=1)
CHECK_INS = uuid.UUID("5d1b1c5e-5a0e-4a41-8f0c-7b3d3f4f1b52")


def begin(run: "RunRecord") -> None:
    """Tell Sentry that the function of a run is called."""
    _check_in(run, "in_progress")


def end(run: "RunRecord") -> None:
    """Tell Sentry how a run has ended, unless it is queued again."""
    if run.state not in LIVE_STATES:
        _check_in(run, "ok" if run.state == RunState.SUCCEEDED else "error")


def slug_of(run: "RunRecord", task: "TaskRecord") -> str:
    """Return the name of a task's monitor: its function and its key."""
    # Not the label, which people change: Sentry would expect check-ins of the old monitor forever.
    function = "-".join(run.target_path.split(".")[-2:])
    tail = f"-{task.pk}"
    text = re.sub(r"[^a-z0-9_-]+", "-", function.lower()).strip("-_")
    return text[: MAX_SLUG_LENGTH - len(tail)] + tail


def monitor_slug(run: "RunRecord") -> str:
    """Return the name of the monitor to which a run belongs; empty if there is none."""
    task = loaded(run, "task")
    return slug_of(run, task) if task is not None and _is_monitored(run, task) else ""


def config_of(task: "TaskRecord") -> "MonitorConfig":
    """Return the configuration of a task's monitor.

    Raises:
        ScheduleError: Sentry cannot represent its schedule.
    """
    margin = task.spread + (task.start_within or DEFAULT_MARGIN)
    # By default, Sentry would report a run that takes more than half an hour.
    longest = task.expected_duration or task.timeout or timedelta(minutes=MAX_MINUTES)
    return {
        "schedule": {"type": "crontab", "value": as_crontab(task.schedule, task.label)},
        "timezone": task.timezone,
        "checkin_margin": _minutes(margin),
        "max_runtime": _minutes(longest),
    }


def _check_in(run: "RunRecord", status: str) -> None:
    import sentry_sdk.crons

    task = loaded(run, "task")
    if task is None or not _is_monitored(run, task):
        return
    sentry_sdk.crons.capture_checkin(
        monitor_slug=slug_of(run, task),
        check_in_id=_check_in_id(run),
        status=status,
        duration=_seconds(run) if status != "in_progress" else None,
        monitor_config=config_of(task),
    )


def _is_monitored(run: "RunRecord", task: "TaskRecord") -> bool:
    # Sentry cannot represent the end of a task: it would miss check-ins from then on.
    has_end = task.iterations is not None or task.end_running is not None
    if has_end or run.origin != Origin.SCHEDULE or not conf.get_settings().sentry_monitors:
        return False
    try:
        as_crontab(task.schedule, task.label)
    except ScheduleError:
        return False
    return True


def _check_in_id(run: "RunRecord") -> str:
    """Return the same key in all processes, and another one for a run of another site."""
    return uuid.uuid5(CHECK_INS, f"{run.pk} {run.planned_at.isoformat()}").hex


def _seconds(run: "RunRecord") -> float | None:
    if run.started_at is None or run.finished_at is None:
        return None
    return float((run.finished_at - run.started_at).total_seconds())


def _minutes(span: timedelta) -> int:
    return max(1, min(MAX_MINUTES, math.ceil(span / timedelta(minutes=1))))
