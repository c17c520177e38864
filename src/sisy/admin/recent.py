"""What came of a task: its latest runs as a table, and all of them counted by state."""

from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from sisy import disclosure, display
from sisy.admin.actions import details_of
from sisy.admin.links import run_link
from sisy.dashboard.tables import table
from sisy.models import Run, RunState, Task

SHOWN = 10


def recent_runs(task: Task, now: datetime) -> SafeString:
    """Return a table of the newest runs of ``task``, with a link to all of them."""
    runs = list(Run.objects.using(task._state.db).filter(task=task)[:SHOWN])
    if not runs:
        return format_html("{}", gettext("It has not run yet."))
    titles = map(gettext, ("Run", "State", "Due", "Late", "Took", "Reason"))
    ledger = f"{reverse('admin:sisy_run_changelist')}?task__id__exact={task.pk}"
    return format_html(
        '{}<p><a href="{}">{}</a></p>',
        table(titles, (_cells(run, now, details_of(task)) for run in runs)),
        ledger,
        gettext("All runs of this task"),
    )


def _cells(run: Run, now: datetime, in_full: bool) -> tuple[Any, ...]:
    return (
        run_link(run.pk, str(run.pk)),
        display.state_of_run(run, in_full=in_full),
        display.moment(run.due_at or run.stands_for or run.planned_at, now),
        display.span(run.lateness),
        display.span(run.duration),
        disclosure.reason_of(run, in_full=in_full),
    )


def counts(task: Task) -> SafeString:
    """Return how many occurrences of ``task`` came to which state, in the order of the states."""
    words = dict(RunState.choices)
    found = task.counts()
    known = [name for name in RunState.values if found.get(name)]
    strange = sorted(name for name in found if name not in words)
    shown = [
        (display.state(name, str(words.get(name, name))), f"{found[name]:,}")
        for name in known + strange
    ]
    if not shown:
        return format_html("{}", display.NOTHING)
    return format_html_join(" ", '<span class="sisy-count">{} {}</span>', shown)
