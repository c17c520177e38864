"""The page that backfills what several tasks missed in a time range, such as an outage."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sisy.dashboard.actions import confirming
from sisy.dashboard.actions.result import Result, done, submitted, to_submitted
from sisy.dashboard.backfilling import RangeForm, as_typed, backfill
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.confirmation import ask, is_confirmed
from sisy.dashboard.pages.page import Page
from sisy.dashboard.parameters import elsewhere
from sisy.models import Origin
from sisy.records.problems import Kind
from sisy.reports.ledger import key_of
from sisy.reports.missed import MissedTask, MissedTasks, missed_tasks, newest_range
from sisy.reports.task_groups import open_alerts
from sisy.runtime.durations import minute_after


class MissedPage(Page):
    """Lists the tasks that missed occurrences (GET), or backfills the selected ones (POST)."""

    name = "missed"
    tab = "tasks"
    title = _("Missed occurrences")
    http_method_names = ["get", "head", "options", "post"]
    parts = ()
    asks = {"start": elsewhere, "end": elsewhere}

    def prepare(self, page_request: PageRequest) -> None:
        if not page_request.may("backfill_task"):
            raise PermissionDenied

    def post(self, request: HttpRequest, **keys: Any) -> HttpResponse:
        page_request = PageRequest(self.dashboard, request, keys)
        self.prepare(page_request)
        wanted = {key_of(text) for text in request.POST.getlist("pk")}
        form = _form(page_request)
        if not wanted:
            messages.error(request, gettext("Nothing is selected."), fail_silently=True)
        elif form.is_valid():
            chosen = [one for one in _found(page_request, form).tasks if one.task.pk in wanted]
            runs: Counter[str] = Counter()
            for one in chosen:
                runs[one.task.label] += len(one.moments)
            question = confirming.backfill(runs, _wrong_with(page_request.using, chosen))
            if question is not None and not is_confirmed(page_request):
                return ask(page_request, question, request.get_full_path(), self.tab)
            page_request.show(backfill_each(request.user, chosen))
        return HttpResponseRedirect(request.get_full_path())

    def chosen_zone(self, page_request: PageRequest) -> None:
        """Return None: the form is always read in the zone of the site."""

    def trail(self, page_request: PageRequest) -> list[tuple[str, Any]]:
        return [(page_request.address("tasks"), gettext("Tasks"))]

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        form = _form(page_request)
        found = _found(page_request, form) if form.is_valid() else None
        tasks = found.tasks if found else ()
        alerts = open_alerts(page_request.using, [one.task for one in tasks])
        return {
            "form": form,
            "found": found,
            "rows": [
                (one, not one.is_due_soon(page_request.now), alerts[one.task.pk]) for one in tasks
            ],
            "zone": timezone.get_current_timezone_name(),
        }


def missed_address(page_request: PageRequest, since: datetime, until: datetime) -> str:
    """Return the address of the page about a range, with its last occurrence."""
    # The form is read in the zone of the site, whichever zone the page with the link is shown in.
    site = timezone.get_default_timezone()
    typed = {"start": as_typed(since, site), "end": as_typed(minute_after(until), site)}
    query = {name: moment.isoformat() for name, moment in typed.items()}
    return f"{page_request.address(MissedPage.name)}?{urlencode(query)}"


def _wrong_with(using: str, chosen: Sequence[MissedTask]) -> dict[str, str]:
    """Return the other problems of tasks, by their labels: their runs may fail, or stay queued."""
    alerts = open_alerts(using, [one.task for one in chosen])
    return {
        one.task.label: ", ".join(
            str(alert.get_kind_display())
            for alert in alerts[one.task.pk]
            if alert.kind != Kind.MISSED
        )
        for one in chosen
    }


def backfill_each(user: Any, chosen: Iterable[MissedTask]) -> Iterator[Result]:
    """Backfill what each task missed, and yield how many runs that are, and which are rejected."""
    count = 0
    for one in chosen:
        try:
            count += backfill(user, one.task, one.start, one.end, again=False)
        except ValueError as error:
            yield Result(f"{one.task.label}: {error}", messages.ERROR)
    yield done(submitted(count), count, to_submitted(Origin.BACKFILL) if count else None)


def _form(page_request: PageRequest) -> RangeForm:
    """Return the form, bound to the range in the URL, or to that of what was missed last."""
    asked = page_request.asked
    if asked.keys() & MissedPage.asks.keys():
        return RangeForm(asked)
    newest = newest_range(page_request.using)
    first, last = newest or (page_request.now, page_request.now)
    return RangeForm({"start": as_typed(first), "end": as_typed(minute_after(last))})


def _found(page_request: PageRequest, form: RangeForm) -> MissedTasks:
    """Return the tasks that missed occurrences of the range of a valid form."""
    start, end = form.cleaned_data["start"], form.cleaned_data["end"]
    return missed_tasks(page_request.using, start, min(end, page_request.now))
