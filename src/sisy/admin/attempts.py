"""How often a run was started, and what became of it each time; its other runs."""

from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext

from sisy import disclosure, display
from sisy.admin.actions import details_of
from sisy.admin.links import run_link
from sisy.dashboard.tables import table
from sisy.models import Attempt, Run
from sisy.queries.related import retries_of


def attempts(run: Run) -> SafeString:
    """Return a table of the attempts after which the run waited again, their errors folded."""
    titles = map(gettext, ("Attempt", "State", "Started", "Took", "Worker", "Reason"))
    kept = list(Attempt.before(run))
    words = gettext("Error of attempt %d")
    in_full = details_of(run)
    cells = (_cells(attempt, in_full) for attempt in kept)
    errors = (
        (words % attempt.number, attempt.error) for attempt in kept if in_full and attempt.error
    )
    folded = "<details><summary>{}</summary><pre>{}</pre></details>"
    return format_html("{}{}", table(titles, cells), format_html_join("", folded, errors))


def _cells(attempt: Attempt, in_full: bool) -> tuple[Any, ...]:
    took = attempt.finished_at - attempt.started_at if attempt.started_at else None
    return (
        attempt.number,
        display.state(attempt.state, attempt.get_state_display()),
        display.instant(attempt.started_at),
        display.span(took),
        attempt.worker or display.NOTHING,
        disclosure.reason_of(attempt, in_full=in_full) or display.NOTHING,
    )


def retries(run: Run) -> SafeString:
    """Return links to the retries of ``run``, with their states."""
    lines = ((run_link(again.pk, str(again.pk)), again) for again in retries_of(run))
    shown = ((link, display.state_of_run(again, in_full=details_of(run))) for link, again in lines)
    return format_html_join(mark_safe("<br>"), "{} {}", shown)
