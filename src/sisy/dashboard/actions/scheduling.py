"""Change the schedules of tasks, and log the old and the new ones."""

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import messages
from django.db import router
from django.utils.translation import gettext, ngettext

from sisy.dashboard.actions.result import Link, Result, done, note, refusal
from sisy.models import Task, TaskChange
from sisy.records.authorship import changed_by
from sisy.records.choices import ChangedBy
from sisy.reports import formatting
from sisy.reports.spreading import DueTask


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
    change = TaskChange.objects.using(router.db_for_write(Task)).filter(task_id=task.pk)
    newest = change.order_by("-pk").first()
    link = Link("revert", (task.pk, newest.pk), gettext("Revert…")) if newest else None
    yield done(gettext("Saved. The new schedule applies from now on."), 1, link)


def spread(user: Any, chosen: Iterable[DueTask]) -> Iterator[Result]:
    """Save the new schedule or the new spread of tasks that start at the same time."""
    count = 0
    for one in chosen:
        if one.changed is None:
            continue
        task, before = one.task, _timing_of(one.task)
        task.schedule, task.spread = one.changed.schedule, one.changed.spread
        try:
            with changed_by(ChangedBy.PERSON, user):
                task.save()
        except ValueError as error:
            yield Result(f"{task.label}: {refusal(error)}", messages.ERROR)
            continue
        note(user, task, f"Changed the schedule from {before} to {_timing_of(task)}.")
        count += 1
    words = ngettext(
        "Spread %d task. The change applies from now on.",
        "Spread %d tasks. The change applies from now on.",
        count,
    )
    yield done(words % count if count else gettext("No tasks were spread."), count)


def _timing_of(task: Task) -> str:
    return f"{task.schedule!r} with a spread of {formatting.span(task.spread)}"
