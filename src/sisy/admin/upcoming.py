"""When a task will be due; of a form that is still being filled in, too."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from sisy import display
from sisy.exceptions import ScheduleError
from sisy.models import Task
from sisy.models.timing import Timing

SHOWN = 5


class TimingForm(forms.Form):
    """The fields of a task's form that decide when it is due."""

    label = forms.CharField(required=False)
    schedule = forms.CharField(required=False)
    timezone = forms.CharField(required=False)
    start_running = forms.SplitDateTimeField(required=False)
    end_running = forms.SplitDateTimeField(required=False)


def upcoming_of_form(data: Mapping[str, str], now: datetime) -> SafeString:
    """Return the next occurrences of what is typed into a task's form, or what is wrong.

    A date that cannot be read counts as none; the form says so itself when it is sent.
    """
    form = TimingForm(data)
    form.is_valid()
    typed = {name: _read(name, form.cleaned_data.get(name)) for name in form.fields}
    return upcoming(Task(**typed), now)


def _read(name: str, value: Any) -> Any:
    column: Any = Task._meta.get_field(name)
    try:
        return column.to_python(value)
    except ValidationError:
        return None


def upcoming(task: Task, now: datetime) -> SafeString:
    """Return the next occurrences of a task, in its own time zone, or what is wrong with it."""
    try:
        timing = Timing.of(task)
    except ScheduleError as error:
        return format_html('<p class="sisy-refusal">{}</p>', str(error))
    zone = ZoneInfo(task.timezone)
    rows = [
        (
            due.isoformat(),
            f"{due.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}",
            display.distance(due, now),
        )
        for due in islice(_after(timing, now), SHOWN)
    ]
    if not rows:
        never = gettext("It is never due between now and its end.")
        return format_html('<p class="sisy-refusal">{}</p>', never)
    items = format_html_join("", '<li><time datetime="{}">{}</time> <small>{}</small></li>', rows)
    words = display.words_of(task.schedule, task.timezone, task.label)
    return format_html("<p>{}</p><ol>{}</ol>", words, items)


def _after(timing: Timing, moment: datetime) -> Iterator[datetime]:
    due = timing.next_after(moment)
    while due is not None:
        yield due
        due = timing.next_after(due)
