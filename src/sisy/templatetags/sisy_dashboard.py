"""The template tags of the dashboard: moments, states and addresses."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django import template
from django.template import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from sisy.dashboard import notes
from sisy.dashboard.actions.pausing import PAUSE_HOURS
from sisy.dashboard.charts import bars as bars_of_tracks
from sisy.dashboard.charts import squares as rows_of_squares
from sisy.dashboard.icons import ALERT_ICONS, ICONS
from sisy.dashboard.page_request import PageRequest
from sisy.exceptions import ScheduleError
from sisy.models import Attempt, Run, RunState, Task, TaskState
from sisy.reports import disclosure, formatting
from sisy.reports.notes import first_line as first_line_of
from sisy.reports.output import ShownProgress
from sisy.reports.squares import LatestRuns
from sisy.reports.timeline.tracks import Track
from sisy.schedules.zones import zone_named

register = template.Library()


def _visit(context: Context) -> PageRequest:
    page_request: PageRequest = context["page_request"]
    return page_request


@register.simple_tag(takes_context=True)
def address(context: Context, name: str, *args: Any) -> str:
    """Return the address of a page of this dashboard."""
    return _visit(context).address(name, *args)


@register.simple_tag(takes_context=True)
def moment(context: Context, value: datetime | None) -> str:
    """Return a moment in the reader's zone, without the date if it is today.

    The page's script adds the distance from now.
    """
    if value is None:
        return formatting.NOTHING
    return _time(value, formatting.brief(value, _visit(context).now))


@register.simple_tag(takes_context=True)
def moment_alone(context: Context, value: datetime) -> str:
    """Return a moment like `moment`, to which the page's script adds no distance from now."""
    words = formatting.brief(value, _visit(context).now)
    return format_html('<span title="{}">{}</span>', _in_utc(value), words)


@register.simple_tag
def distance(value: datetime) -> str:
    """Return a moment that the page's script shows as its distance from now."""
    return _time(value, "")


def _time(value: datetime, words: str) -> str:
    markup = '<time datetime="{}" title="{}">{}</time>'
    return format_html(markup, value.isoformat(), _in_utc(value), words)


def _in_utc(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"


@register.simple_tag
def in_zone(value: datetime, zone: str) -> str:
    """Return a moment in a zone, with its abbreviation; empty if the zone does not exist."""
    try:
        return f"{value.astimezone(zone_named(zone)):%a %H:%M:%S %Z}"
    except ScheduleError:
        return ""


@register.filter
def span(value: timedelta | None) -> str:
    """Return a duration, such as ``1.25 s`` or ``1 h 30 min``."""
    return formatting.span(value)


@register.simple_tag(takes_context=True)
def squares(context: Context, label: str, latest: LatestRuns) -> SafeString:
    """Return the squares of the latest runs of a row of tasks, each a link to the run."""
    return rows_of_squares.of_row(_visit(context), label, latest)


@register.simple_tag(takes_context=True)
def bars(context: Context, track: Track) -> SafeString:
    """Return the bars of a track of the timeline: its runs and upcoming occurrences."""
    return bars_of_tracks.of_track(_visit(context), track)


@register.inclusion_tag("sisy/dashboard/squares_legend.html")
def squares_legend(rows: Iterable[LatestRuns]) -> dict[str, Any]:
    """Return the legend of the states that some squares show."""
    drawn = {square.state for latest in rows for square in latest.squares}
    return {"states": [state for state in RunState if state in drawn]}


@register.filter
def as_note(value: str) -> SafeString:
    """Return the note of a task as HTML."""
    return notes.rendered(value)


@register.filter
def first_line(value: str) -> str:
    """Return the first line of a task's note."""
    return first_line_of(value)


@register.filter
def seconds(value: timedelta | None) -> str:
    """Return a span of time in seconds, to the millisecond."""
    return formatting.NOTHING if value is None else f"{value.total_seconds():.3f}"


@register.filter
def as_json(value: Any) -> str:
    """Return a JSON value on several lines, with secrets masked; the template escapes it."""
    return disclosure.as_json(value)


@register.filter
def short(value: datetime) -> str:
    """Return a moment in the reader's zone to the second."""
    return formatting.short(value)


@register.filter
def grouped(value: int) -> str:
    """Return a number with separators between thousands, as sentences have them."""
    return f"{value:,}"


@register.filter
def unlocal(value: float) -> str:
    """Return a number that is not localized."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.3f}".rstrip("0").rstrip(".")


@register.filter
def from_below(height: int, floor: int) -> int:
    """Return the y position of a column with a height that stands on ``floor``."""
    return floor - height


@register.filter
def narrowed(width: float) -> str:
    """Return a width with a gap to the next one."""
    return unlocal(0.8 * width)


@register.filter
def instant(value: datetime) -> str:
    """Return a moment in the reader's zone to the millisecond, with the exact one on hover."""
    return formatting.instant(value)


@register.simple_tag
def icon(name: str) -> SafeString:
    """Return an icon beside words that say the same."""
    return format_html('<span aria-hidden="true">{}</span>', ICONS[name])


@register.simple_tag
def alert_icon(kind: str) -> SafeString:
    """Return the icon of a kind of alert."""
    return format_html(
        '<span aria-hidden="true">{}</span>', ALERT_ICONS.get(kind, ICONS["problem"])
    )


@register.simple_tag
def glyph(name: str) -> str:
    """Return the character of an icon."""
    return ICONS[name]


@register.simple_tag
def state(value: str, reason: str = "") -> SafeString:
    """Return a state with its symbol, colour and word, and the reason as a tooltip."""
    return _state(value, formatting.name_of_state(value), reason)


@register.simple_tag(takes_context=True)
def reason(context: Context, row: Run | Attempt) -> str:
    """Return the part of a run's or an attempt's reason that the user may read."""
    return disclosure.reason_of(row, in_full=_visit(context).sees_details)


@register.simple_tag(takes_context=True)
def trouble(context: Context, task: Task) -> str:
    """Return the part of a task's problem that the user may read."""
    return disclosure.trouble_of(task, in_full=_visit(context).sees_details)


@register.simple_tag(takes_context=True)
def task_state(context: Context, task: Task) -> SafeString:
    """Return a task's state, or that its function is missing."""
    if task.target_error and task.state == TaskState.ACTIVE:
        why = disclosure.target_error_of(task, in_full=_visit(context).sees_details)
        return _state(TaskState.BROKEN, gettext("function missing"), why)
    return _state(task.state, str(task.get_state_display()), task.state_reason)


@register.simple_tag(takes_context=True)
def run_state(context: Context, run: Run) -> SafeString:
    """Return a run's state, and whether it was asked to stop and is still running."""
    why = run.cancel_reason or reason(context, run)
    shown = _state(run.state, str(run.get_state_display()), why)
    if run.state != RunState.RUNNING or run.cancel_requested_at is None:
        return shown
    asked = gettext("force cancel requested") if run.cancel_force else gettext("cancel requested")
    return format_html("{} <small>{}</small>", shown, asked)


@register.inclusion_tag("sisy/dashboard/pause_fields.html")
def pause_fields() -> dict[str, Any]:
    """Return the fields of a form that pauses: the reason and the end."""
    return {"pauses": [(hours, timedelta(hours=hours)) for hours in PAUSE_HOURS]}


@register.simple_tag(takes_context=True)
def progress_of(context: Context, run: Run) -> ShownProgress | None:
    """Return the progress of a run in a list; None if it has reported none."""
    found: dict[int, ShownProgress] = context.get("progress") or {}
    return found.get(run.pk)


@register.simple_tag
def schedule_words(task: Task) -> str:
    """Return a task's schedule in words; empty if it cannot be described."""
    return formatting.words_of(task.schedule, task.timezone, task.label)


def _state(value: str, words: str, reason: str) -> SafeString:
    return format_html(
        '<span class="sisy-state {}"{}><span aria-hidden="true">{}</span> {}</span>',
        formatting.looks_of(value),
        format_html(' title="{}"', reason) if reason else "",
        ICONS.get(value, "?"),
        words,
    )
