"""Tasks as commands show them in a list."""

from typing import Any

from django.utils import timezone

from sisy.management.table import state
from sisy.models import Run, Task


def line_of(task: Task, last: Run | None) -> dict[str, Any]:
    """Return the row of a task for people. The schedule names a zone that is not the site's.

    Args:
        last: its latest run that has started; see `sisy.reports.last_started`.
    """
    facts = facts_of(task, last)
    if (zone := facts.pop("timezone")) != timezone.get_default_timezone_name():
        facts["schedule"] += f" {zone}"
    return facts


def facts_of(task: Task, last: Run | None) -> dict[str, Any]:
    """Return the row of a task for programs."""
    return {
        "id": task.pk,
        "label": task.label,
        "schedule": task.schedule or "once",
        "timezone": task.timezone,
        "queue": task.queue,
        "state": state(task.state),
        "next_run": task.next_run,
        "last_run": last and last.started_at,
        "last_result": state(last.state) if last else "",
    }
