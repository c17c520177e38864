"""The latest runs of a task, as a table on its page."""

from datetime import datetime

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from sisy.admin import display
from sisy.models import Run, Task

SHOWN = 10


def recent_runs(task: Task, now: datetime) -> SafeString:
    """Return a table of the newest runs of ``task``, with a link to all of them."""
    runs = list(Run.objects.filter(task=task)[:SHOWN])
    if not runs:
        return format_html("{}", gettext("It has not run yet."))
    titles = map(gettext, ("Run", "State", "Due", "Late", "Took", "Reason"))
    head = format_html_join("", "<th>{}</th>", ((title,) for title in titles))
    rows = format_html_join("", "<tr>{}</tr>", ((_cells(run, now),) for run in runs))
    ledger = f"{reverse('admin:sisy_run_changelist')}?task__id__exact={task.pk}"
    return format_html(
        '<table class="sisy-runs"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>'
        '<p><a href="{}">{}</a></p>',
        head,
        rows,
        ledger,
        gettext("All runs of this task"),
    )


def _cells(run: Run, now: datetime) -> SafeString:
    cells = (
        run_link(run.pk, str(run.pk)),
        display.state(run.state, run.get_state_display()),
        display.moment(run.due_at or run.planned_at, now),
        display.span(run.lateness),
        display.span(run.duration),
        run.reason,
    )
    return format_html_join("", "<td>{}</td>", ((cell,) for cell in cells))


def run_link(pk: int, shown: str) -> SafeString:
    """Return a link to a run's page."""
    return format_html('<a href="{}">{}</a>', reverse("admin:sisy_run_change", args=[pk]), shown)
