"""Tasks as commands show them in a list."""

from typing import Any

from django.utils import timezone

from sisy.management.table import state
from sisy.models import RunState, Task
from sisy.reports.last_started import Last


def line_of(task: Task, last: Last) -> dict[str, Any]:
    """Return the row of a task for people. The schedule names a zone that is not the site's.

    Args:
        last: its latest run that has started; see `sisy.reports.last_started`.
    """
    facts = facts_of(task, last)
    if facts.pop("missed_since"):
        facts["last_result"] = state(
            RunState.MISSED, f"{last.run.state}, then missed" if last.run else "missed"
        )
    if (zone := facts.pop("timezone")) != timezone.get_default_timezone_name():
        facts["schedule"] += f" {zone}"
    return facts


def facts_of(task: Task, last: Last) -> dict[str, Any]:
    """Return the row of a task for programs."""
    return {
        "id": task.pk,
        "label": task.label,
        "schedule": task.schedule or "once",
        "timezone": task.timezone,
        "queue": task.queue,
        "state": state(task.state),
        "next_run": task.next_run,
        "last_run": last.run and last.run.started_at,
        "last_result": state(last.run.state) if last.run else "",
        "missed_since": last.missed and last.missed.moment,
    }
