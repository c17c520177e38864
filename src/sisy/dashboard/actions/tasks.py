"""The actions on tasks, which do not affect their schedules."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db import router
from django.utils import timezone
from django.utils.translation import gettext, ngettext

from sisy.dashboard.actions.cancelling import cancelled_in_words, counted
from sisy.dashboard.actions.result import Result, done, note, refusal, submitted, to_runs
from sisy.lifecycle.cancel import cancel_or_request
from sisy.models import Origin, Run, RunState, Task, TaskState
from sisy.records.authorship import changed_by
from sisy.records.choices import ChangedBy
from sisy.reports import formatting
from sisy.runtime.durations import in_zone

Tasks = Iterable[Task]


def run_now(user: Any, tasks: Tasks) -> Iterator[Result]:
    """Submit a run of each task."""
    runs: list[int] = []
    for task in tasks:
        try:
            run = task.run_now()
        except ValueError as error:
            yield Result(f"{task}: {refusal(error)}", messages.ERROR)
            continue
        note(user, task, f"Submitted run {run.pk}.")
        runs.append(run.pk)
    yield done(submitted(len(runs)), len(runs), to_runs(runs, Origin.MANUAL))


def pause(
    user: Any, tasks: Tasks, reason: str = "", until: datetime | None = None
) -> Iterator[Result]:
    """Pause each active task; the reason names the user."""
    why = gettext("Paused by %s.") % user
    if reason:
        why = gettext("%(reason)s (paused by %(user)s)") % {"reason": reason, "user": user}
    with changed_by(ChangedBy.PERSON, user):
        paused = [task for task in tasks if task.pause(why, until)]
    end = f" until {until.isoformat(timespec='seconds')}" if until else ""
    for task in paused:
        note(user, task, f"Paused{end}: {reason}" if reason else f"Paused{end}.")
    count = len(paused)
    words = ngettext("Paused %d task.", "Paused %d tasks.", count) % count
    if count and until is not None:
        resumes = ngettext("Sisy resumes it at %s.", "Sisy resumes them at %s.", count)
        words = f"{words} {resumes % in_zone(until, timezone.get_current_timezone())}"
    nothing = gettext("Nothing to pause: no selected task is active.")
    yield done(words if count else nothing, count)


def resume(user: Any, tasks: Tasks) -> Iterator[Result]:
    """Resume each paused or broken task."""
    with changed_by(ChangedBy.PERSON, user):
        resumed = [task for task in tasks if task.resume()]
    for task in resumed:
        note(user, task, "Resumed.")
    broken = [task for task in resumed if task.state == TaskState.BROKEN]
    for task in broken:
        yield Result(f"{task}: {task.state_reason}", messages.ERROR)
    count = len(resumed) - len(broken)
    if count or not broken:
        words = ngettext("Resumed %d task.", "Resumed %d tasks.", count) % count
        nothing = gettext("Nothing to resume: no selected task is paused or broken.")
        yield done(words if count else nothing, count)


def back_to_code(user: Any, tasks: Tasks) -> Iterator[Result]:
    """Reset declared tasks to their declaration, and undo changes made by hand."""
    count = 0
    for task in tasks:
        try:
            with changed_by(ChangedBy.PERSON, user):
                fields = task.back_to_code() if task.declaration is not None else []
        except ValueError as error:
            yield Result(f"{task}: {refusal(error)}", messages.ERROR)
            continue
        if fields:
            note(user, task, f"Reset to code: {', '.join(fields)}.")
            count += 1
    words = ngettext("Reset %d task to code.", "Reset %d tasks to code.", count) % count
    nothing = gettext("Nothing to reset: no selected task differs from its declaration.")
    yield done(words if count else nothing, count)


def cancel_runs(user: Any, tasks: Tasks) -> Iterator[Result]:
    """Cancel the queued runs of each task, and ask running ones to stop."""
    reason = gettext("Cancelled by %s.") % user
    cancelled, asked, asked_before = 0, 0, 0
    paths: set[str] = set()
    for task in tasks:
        runs = Run.objects.using(router.db_for_write(Run))
        of_task, asked_of_task = cancel_or_request(
            runs.filter(task=task), reason, formatting.now()
        )
        if said := counted(len(of_task), len(asked_of_task)):
            note(user, task, said)
        cancelled += len(of_task)
        asked += len(asked_of_task)
        paths |= {task.target_path} if asked_of_task else set()
        going = runs.live_of([task.pk]).filter(state=RunState.RUNNING)
        stopping = going.exclude(cancel_requested_at=None)
        asked_before += stopping.exclude(pk__in=asked_of_task).count()
    words = cancelled_in_words(cancelled, asked, asked_before, paths=paths)
    yield done(words, cancelled + asked)
