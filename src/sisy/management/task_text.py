"""Tasks as commands show them, in a list and one with all fields."""

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
    facts = facts_of(task, last) | line_of_last(last)
    del facts["missed_since"]
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
        **facts_of_last(last),
    }


def line_of_last(last: Last) -> dict[str, Any]:
    """Return, for people, when the latest run that has started did, and its result."""
    facts = facts_of_last(last)
    if facts.pop("missed_since"):
        words = f"{last.run.state}, then missed" if last.run else "missed"
        facts["last_result"] = state(RunState.MISSED, words)
    return facts


def facts_of_last(last: Last) -> dict[str, Any]:
    """Return the same for programs, and since when occurrences were missed after it."""
    return {
        "last_run": last.run and last.run.started_at,
        "last_result": state(last.run.state) if last.run else "",
        "missed_since": last.missed and last.missed.moment,
    }
