"""Undo a recorded change of a task."""

from collections.abc import Iterator
from typing import Any

from django.contrib import messages
from django.utils.translation import gettext

from sisy.dashboard.actions.result import Result, done, note, refusal
from sisy.models import Task, TaskChange
from sisy.models.declared import give
from sisy.records.authorship import changed_by
from sisy.records.choices import ChangedBy
from sisy.reports import field_text, formatting
from sisy.reports.task_changes import undoing


def revert(user: Any, task: Task, change: TaskChange) -> Iterator[Result]:
    """Give a task the values that it had before a change, if it has others now."""
    values = undoing(task, change)
    if not values:
        yield done(gettext("Nothing to revert: the task already has these values."), 0)
        return
    try:
        give(task, values)
        with changed_by(ChangedBy.PERSON, user):
            task.save()
    except ValueError as error:
        yield Result(refusal(error), messages.ERROR)
        return
    names = ", ".join(field_text.name_of(name) for name in values)
    note(user, task, f"Reverted the change of {formatting.short(change.changed_at)}: {names}.")
    yield done(gettext("Reverted: %s.") % names, 1)
