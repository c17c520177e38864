"""The next occurrences of a task, even while the user fills in its form."""

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from sisy.exceptions import ScheduleError
from sisy.models import Task, TaskState
from sisy.planning.timing import Timing, occurrences
from sisy.reports import formatting

MAX_OCCURRENCES_SHOWN = 5


class TimingForm(forms.Form):
    """The fields of a task's form that decide when it is due."""

    label = forms.CharField(required=False)
    schedule = forms.CharField(required=False)
    timezone = forms.CharField(required=False)
    start_running = forms.SplitDateTimeField(required=False)
    end_running = forms.SplitDateTimeField(required=False)
    iterations = forms.IntegerField(required=False, min_value=1)


def upcoming_of_form(data: Mapping[str, str], now: datetime, stored: Task | None) -> SafeString:
    """Return the next occurrences of a task as its form describes it, or the error.

    Args:
        stored: the task that is being changed; None for a new one.
    """
    # An invalid date counts as empty here. The form rejects it when it is submitted.
    form = TimingForm(data)
    form.is_valid()
    typed = {name: _read(name, form.cleaned_data.get(name)) for name in form.fields}
    kept = {} if stored is None else {"state": stored.state, "runs_planned": stored.runs_planned}
    return upcoming(Task(**typed, **kept), now)


def _read(name: str, value: Any) -> Any:
    column: Any = Task._meta.get_field(name)
    try:
        return column.to_python(value)
    except ValidationError:
        return None


def upcoming(task: Task, now: datetime) -> SafeString:
    """Return the next occurrences of a task in its time zone, or the error in its schedule."""
    try:
        Timing.of(task)
    except ScheduleError as error:
        return format_html('<p class="sisy-refusal">{}</p>', str(error))
    words = formatting.words_of(task.schedule, task.timezone, task.label)
    if task.state != TaskState.ACTIVE:
        state = gettext("No upcoming occurrences: the task is %s.") % task.get_state_display()
        return format_html("<p>{}</p><p>{}</p>", words, state)
    zone = ZoneInfo(task.timezone)
    rows = [
        (
            due.isoformat(),
            f"{due.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}",
            formatting.distance(due, now),
        )
        for due in islice(occurrences(task, now), MAX_OCCURRENCES_SHOWN)
    ]
    if not rows:
        never = gettext("No occurrences before the task ends.")
        return format_html('<p class="sisy-refusal">{}</p>', never)
    items = format_html_join("", '<li><time datetime="{}">{}</time> <small>{}</small></li>', rows)
    return format_html("<p>{}</p><ol>{}</ol>", words, items)
