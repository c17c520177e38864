"""Explain in a sentence why a task has no run at a moment, by its schedule.

The schedule does not match the moment, the moment is still to come, or no run was planned for it.
"""

from datetime import datetime, timedelta, tzinfo
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from sisy import conf
from sisy.alerting.capacity import pause_in_words, running
from sisy.models import Overlap, Queue, Run, RunState, Task, TaskState
from sisy.planning.timing import Timing, iterations_left, occurrences
from sisy.runtime.durations import in_zone
from sisy.schedules import Schedule
from sisy.schedules.calendar import just_before

THEN: dict[str, Any] = {
    Overlap.SKIP: _("the new run will be skipped"),
    Overlap.BUFFER_ONE: _(
        "the new run will be queued, or skipped if another run is already queued"
    ),
    Overlap.BUFFER_ALL: _("the new run will stay queued until the running one has ended"),
    Overlap.CANCEL_OTHER: _(
        "the running one will be asked to stop, and the new run starts when it has stopped"
    ),
    Overlap.TERMINATE_OTHER: _(
        "the running one will be terminated, and the new run starts when it has ended"
    ),
}
"""The fate, by the overlap policy, of a run that is due while another one is running."""


def not_due(schedule: Schedule, moment: datetime, zone: tzinfo) -> str:
    """Say that a schedule does not match a moment, and which ones it matches instead."""
    before, after = schedule.last_until(moment), schedule.next_after(moment)
    words = f"The current schedule, {schedule.expression!r}, does not match this time."
    if before is not None:
        words += f" The previous match is {in_zone(before, zone)}."
    if after is not None:
        words += f" The next match is {in_zone(after, zone)}."
    return words


def ahead(task: Task, moment: datetime, using: str, zone: tzinfo) -> str:
    """Say whether a task will run at a moment to come, which its schedule matches."""
    will_run = moment in occurrences(task, just_before(moment), moment)
    if task.state != TaskState.ACTIVE:
        will = "will run at this time, if the task is resumed by then. The" if will_run else ""
        will = will or "will not run at this time, because the"
        return f"It {will} task is {task.state}{reason_of(task, zone)}"
    due = in_zone(task.next_run or moment, zone)
    if will_run:
        return f"{_will_run(task, moment, using, zone)} The next run is due at {due}."
    if Timing.of(task).next_after(just_before(moment)) != moment:
        return f"It will not run at this time, because the task {_limits(task, zone)}."
    left = iterations_left(task)
    if left is None:
        return f"It will not run at this time, because the next run is not due until {due}."
    words = ngettext("only %d iteration is left", "only %d iterations are left", left) % left
    earlier = ngettext("and it is due earlier", "and they are due earlier", left)
    return f"It will not run at this time: {words}, {earlier}. The next one is due at {due}."


def _will_run(task: Task, moment: datetime, using: str, zone: tzinfo) -> str:
    """Return that a task will run at a moment, and what may prevent it."""
    words = "It will run at this time."
    pause = pause_of(task, using, zone, moment)
    if pause:
        words = f"It will run at this time, if its queue is resumed by then: {pause}."
    then = THEN.get(task.overlap)
    if then is None:  # both run
        return words
    live = Run.objects.using(using).live_of([task.pk]).filter(state=RunState.RUNNING)
    running_run = live.only("pk").order_by("started_at", "pk").first()
    if running_run is None:
        return words
    return f"{words} If run {running_run.pk} is still running then, {then}."


def pause_of(task: Task, using: str, zone: tzinfo, moment: datetime | None = None) -> str:
    """Return, as a clause, who paused the queue of a task, when and why; empty if it is not.

    Args:
        moment: leave out a pause that ends until then.
    """
    queue = Queue.objects.using(using).paused().filter(name=task.queue).first()
    if queue is None or (moment and queue.paused_until and queue.paused_until <= moment):
        return ""
    return pause_in_words(queue, zone)


def _limits(task: Task, zone: tzinfo) -> str:
    """Return the window of a task, as words that follow "the task"."""
    start = f" from {in_zone(task.start_running, zone)}" if task.start_running else ""
    end = f" until {in_zone(task.end_running, zone)}" if task.end_running else ""
    return f"runs only{start}{end}"


def never_planned(task: Task, moment: datetime, using: str, now: datetime, zone: tzinfo) -> str:
    """Say why a moment that is over, and which the schedule matches, has no run."""
    if task.created_at is not None and moment < task.created_at:
        return f"The task was created later, at {in_zone(task.created_at, zone)}."
    if Timing.of(task).next_after(just_before(moment)) != moment:
        return f"It did not run at this time, because the task {_limits(task, zone)}."
    days = conf.get_settings().history_days
    if days and moment < now - timedelta(days=days):
        words = ngettext("%g day", "%g days", round(days)) % days
        return f"Unknown: history older than {words} has been pruned."
    if task.planning_since is not None and moment <= task.planning_since:
        since = in_zone(task.planning_since, zone)
        words = (
            f"The task was changed or resumed at {since}, after this time. Sisy plans only "
            "occurrences after that."
        )
        if task.state == TaskState.ACTIVE:
            return words
        return f"{words} Now the task is {task.state}{reason_of(task, zone)}"
    if task.state != TaskState.ACTIVE:
        return f"It was not planned, because the task is {task.state}{reason_of(task, zone)}"
    if task.planned_until is None or moment > task.planned_until:
        heartbeats, _ = running(using, now)
        up = "a heartbeat is running and will plan it" if heartbeats else "no heartbeat is running"
        return f"It is due but has not been planned: {up}."
    return (
        "No run is recorded for this time. Another schedule was in effect, or the run was pruned."
    )


def reason_of(task: Task, zone: tzinfo) -> str:
    """Return until when and why a task is in its state, as the end of a sentence."""
    until = f" until {in_zone(task.paused_until, zone)}" if task.paused_until else ""
    return f"{until}: {task.state_reason.rstrip('.')}." if task.state_reason else f"{until}."
