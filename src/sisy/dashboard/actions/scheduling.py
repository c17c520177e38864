"""Change the schedule of a task, and log the old and the new one."""

from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.utils.translation import gettext

from sisy.dashboard.actions.result import Result, done, note, refusal
from sisy.models import Task
from sisy.records.authorship import changed_by
from sisy.records.choices import ChangedBy


def set_schedule(user: Any, task: Task, schedule: str, timezone: str) -> Iterator[Result]:
    """Save a new schedule and time zone, if they are valid and differ from those of the task."""
    before = f"{task.schedule!r} {task.timezone}"
    task.schedule, task.timezone = schedule.strip(), timezone.strip() or task.timezone
    after = f"{task.schedule!r} {task.timezone}"
    if before == after:
        yield done(gettext("Nothing to change: the task already has this schedule."), 0)
        return
    try:
        with changed_by(ChangedBy.PERSON, user):
            task.save()
    except ValueError as error:
        yield Result(refusal(error), messages.ERROR)
        return
    note(user, task, f"Changed the schedule from {before} to {after}.")
    yield done(gettext("Saved. The new schedule applies from now on."), 1)
