"""The backfill page's form, its preview, and the backfill itself."""

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.db import router
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from sisy.dashboard.actions.result import Result, done, note, submitted, to_submitted
from sisy.dashboard.tables import table
from sisy.exceptions import ScheduleError
from sisy.models import Origin, Task
from sisy.planning.timing import Timing
from sisy.records.validators import moment_in
from sisy.reports import formatting
from sisy.reports.alerts.gaps import newest_gap
from sisy.reports.backfill_cost import Cost, cost_of, in_words
from sisy.reports.backfill_reasons import nothing_to_backfill
from sisy.runtime.durations import minute_after

EDGE = 5  # occurrences shown at either end
RANGE = ("start", "end", "again")
TICKED = ("", "on", "1", "true", "True", "0", "false", "False", True, False)


class Moment(forms.DateTimeInput):
    """The browser's own field for a date and a time, to the second."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__({"step": 1}, format="%Y-%m-%dT%H:%M:%S")


class RangeForm(forms.Form):
    """A range of due moments."""

    start = forms.DateTimeField(label=_("Start"), widget=Moment)
    end = forms.DateTimeField(
        label=_("End"), widget=Moment, help_text=_("The end of the range (exclusive).")
    )

    def clean(self) -> dict[str, Any]:
        """Reject moments that no database can store, and ranges that `check` rejects."""
        if not self.errors:
            try:
                for name in ("start", "end"):
                    self.cleaned_data[name] = moment_in(self.cleaned_data[name], name)
                self.check()
            except ValueError as error:
                self.add_error(None, str(error))
        return self.cleaned_data

    def check(self) -> None:
        """Check a range of valid moments.

        Raises:
            ValueError: it cannot be used.
        """
        if self.cleaned_data["end"] <= self.cleaned_data["start"]:
            raise ValueError(gettext("The start must be before the end."))


class BackfillForm(RangeForm):
    """A range, and whether occurrences that have succeeded run again."""

    again = forms.BooleanField(
        label=_("Rerun all"),
        required=False,
        help_text=_(
            "Also rerun occurrences that have succeeded, are queued or running, or are not "
            "planned yet."
        ),
    )

    def __init__(self, task: Task, data: Any = None) -> None:
        self.task = task
        self.preview: Preview | None = None
        start, end = likely_range(task)
        super().__init__(data, initial={"start": start, "end": end})

    def clean_again(self) -> bool:
        """Reject values that no checkbox sends; Django would read any text as checked."""
        if self.data.get("again", "") not in TICKED:
            raise forms.ValidationError(gettext("Use 'on', or omit it."))
        return bool(self.cleaned_data["again"])

    def check(self) -> None:
        """Check a range as the task does, with its message."""
        self.preview = Preview.of(self.task, **self.cleaned_data)


def likely_range(task: Task) -> tuple[datetime, datetime]:
    """Return the range of the occurrences that were missed last, or else yesterday.

    Both are as the browser's fields want them.
    """
    gap = newest_gap(router.db_for_write(Task), task.pk)
    if gap is not None and gap.due_at is not None:
        last = gap.due_until or gap.due_at
        return as_typed(gap.due_at), as_typed(_end_after(task, last))
    today = as_typed(formatting.now()).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=1), today


def as_typed(moment: datetime, zone: tzinfo | None = None) -> datetime:
    """Return a moment as the browser's field wants it: naive.

    Args:
        zone: the time zone; by default, the current one.
    """
    return timezone.localtime(moment, zone).replace(tzinfo=None)


def _end_after(task: Task, last: datetime) -> datetime:
    """Return the next full minute, or the next second if a later occurrence is before that."""
    minute = minute_after(last)
    try:
        later = Timing.of(task).next_after(last)
    except ScheduleError:
        later = None
    return minute if later is None or later >= minute else last + timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The preview of a backfill."""

    moments: list[datetime]
    left_out: int
    schedule: str
    zone: str
    cost: Cost

    @classmethod
    def of(cls, task: Task, start: datetime, end: datetime, again: bool) -> "Preview":
        """Return the preview of a backfill of ``task``.

        Raises:
            ScheduleError, ValueError: as `Task.to_backfill` does.
        """
        moments = task.to_backfill(start, end, again=again)
        every = moments if again else task.to_backfill(start, end, again=True)
        return cls(
            moments=moments,
            left_out=len(every) - len(moments),
            schedule=task.schedule,
            zone=task.timezone,
            cost=cost_of(router.db_for_write(Task), task, len(moments), formatting.now()),
        )

    def as_table(self) -> SafeString:
        """Return the first and the last occurrences, in the task's time zone and in UTC."""
        zone = ZoneInfo(self.zone)
        edges = [*enumerate(self.moments, start=1)]
        if len(edges) > 2 * EDGE:
            edges = edges[:EDGE] + edges[-EDGE:]
        rows: list[tuple[Any, ...]] = [
            (number, f"{due.astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}", f"{due:%Y-%m-%d %H:%M:%S}")
            for number, due in edges
        ]
        if len(edges) < len(self.moments):
            rows.insert(EDGE, ("…", "", ""))
        if self.zone == "UTC":
            return table(("", self.zone), [row[:2] for row in rows])
        return table(("", self.zone, "UTC"), rows)

    def in_words(self) -> str:
        """Return how many occurrences would run, and how many are left out."""
        count = len(self.moments)
        if not count and not self.left_out:
            words = gettext(
                "The current schedule, '%s', has no occurrence in this range. A backfill cannot "
                "run those of an earlier schedule."
            )
            return words % self.schedule
        if not count:
            return nothing_to_backfill(self.left_out)
        would = ngettext("%d occurrence will run.", "%d occurrences will run.", count)
        if not self.left_out:
            return would % count
        rest = ngettext(
            "%d other occurrence is left out, because it has succeeded, is queued or running, or "
            "is not planned yet.",
            "%d other occurrences are left out, because they have succeeded, are queued or "
            "running, or are not planned yet.",
            self.left_out,
        )
        return f"{would % count} {rest % self.left_out}"

    def cost_in_words(self) -> list[str]:
        """Return how much work the runs are and how long they take, and what delays them."""
        return in_words(self.cost)


def asked_for(task: Task, request: HttpRequest) -> tuple[BackfillForm, list[tuple[str, Any]]]:
    """Return the form, bound to the range in a request, and the parameters of that range.

    The form is also bound, and so shows errors, if a range is incomplete, or missing in a POST.
    """
    is_post = request.method == "POST"
    data = request.POST if is_post else request.GET
    asked = [(name, data[name]) for name in RANGE if name in data]
    return BackfillForm(task, data if asked or is_post else None), asked


def run(user: Any, form: BackfillForm) -> Result | None:
    """Run the backfill of a valid form.

    Returns:
        The message; None if the task rejects the range now, and the form has the error.
    """
    start, end, again = (form.cleaned_data[name] for name in RANGE)
    try:
        count = backfill(user, form.task, start, end, again=again)
    except ValueError as error:
        form.add_error(None, str(error))
        return None
    return done(submitted(count), count, to_submitted(Origin.BACKFILL) if count else None)


def backfill(user: Any, task: Task, start: datetime, end: datetime, *, again: bool) -> int:
    """Backfill a range of a task, log it, and return the number of submitted runs.

    Raises:
        ScheduleError, ValueError: as `Task.backfill` does.
    """
    count = len(task.backfill(start, end, again=again))
    if count:
        asked = ngettext("Submitted %d run", "Submitted %d runs", count) % count
        which = " (all occurrences)" if again else ""
        note(user, task, f"{asked}: backfill from {start} to {end}{which}.")
    return count
