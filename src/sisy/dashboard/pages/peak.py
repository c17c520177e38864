"""The page of a time at which many runs start: it lists their tasks, and spreads them."""

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sisy.dashboard.actions import confirming
from sisy.dashboard.actions.confirming import Question
from sisy.dashboard.actions.scheduling import spread
from sisy.dashboard.charts.heat import squares
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.confirmation import ask, is_confirmed
from sisy.dashboard.pages.load import busiest_of, forget, groups_of
from sisy.dashboard.pages.page import Page, Part
from sisy.dashboard.parameters import moment_within, one_of
from sisy.reports import formatting
from sisy.reports.ledger import key_of
from sisy.reports.queue_pauses import pauses_of
from sisy.reports.spreading import (
    HASHED,
    MAX_TASKS_LISTED,
    SLICE,
    WAYS,
    DueTask,
    compare,
    due_tasks,
    pile_of,
)

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
WIDTHS = ("0", "15", "60")
"""The minutes of a time span; 0 is a second."""
WAYS_IN_WORDS = {
    HASHED: _("a minute derived from its label (h)"),
    "15": _("a delay of up to 15 min"),
    "60": _("a delay of up to 1 h"),
}


def moment_of(text: str) -> datetime | None:
    """Return the moment in a URL, which has a UTC offset; None if it is not valid."""
    try:
        found = datetime.fromisoformat(text.strip().replace(" ", "+"))
    except ValueError:
        return None
    # Moments around it are computed as well.
    is_usable = found.tzinfo is not None and 1970 <= found.year <= 9000
    return found if is_usable else None


class PeakPage(Page):
    """Shows how to spread the tasks of a busy time (GET), or spreads them (POST)."""

    name = "peak"
    tab = "load"
    sheets = ("sisy/load.css",)
    http_method_names = ["get", "head", "options", "post"]
    asks = {"at": moment_within(moment_of), "minutes": one_of(WIDTHS), "way": one_of(WAYS)}

    def post(self, request: HttpRequest, **keys: Any) -> HttpResponse:
        page_request = PageRequest(self.dashboard, request, keys)
        if not page_request.may("change_task"):
            raise PermissionDenied
        wanted = {key_of(text) for text in request.POST.getlist("pk")}
        # Since the page was shown, tasks may have been due that are selected.
        listed_at = moment_of(request.POST.get("listed_at", "")) or page_request.now
        found, way = tasks_of(page_request, since=listed_at)
        chosen = [one for one in found if one.task.pk in wanted]
        if not wanted:
            messages.error(request, gettext("Nothing is selected."), fail_silently=True)
        elif not is_confirmed(page_request) and (question := _question(chosen, way)):
            return ask(page_request, question, request.get_full_path(), self.tab)
        else:
            page_request.show(spread(request.user, chosen))
            forget(page_request)
        return HttpResponseRedirect(request.get_full_path())

    def trail(self, page_request: PageRequest) -> list[tuple[str, Any]]:
        return [(page_request.address("load"), gettext("Upcoming runs"))]

    def title_of(self, page_request: PageRequest) -> str:
        start, end = span_of(page_request)
        begin = formatting.short(start)
        if end - start <= SECOND:
            return gettext("Due at %s") % begin
        named = {"start": begin, "end": f"{timezone.localtime(end):%H:%M:%S}"}
        return gettext("Due from %(start)s to %(end)s") % named


def _question(chosen: list[DueTask], way: str) -> Question | None:
    labels = [one.task.label for one in chosen if one.changed is not None]
    return confirming.spread(labels, str(WAYS_IN_WORDS[way]))


def span_of(page_request: PageRequest) -> tuple[datetime, datetime]:
    """Return the time span in the URL; by default, the busiest second of the next 24 hours."""
    start = moment_of(page_request.asked.get("at", ""))
    minutes = page_request.asked.get("minutes", "")
    width = timedelta(minutes=int(minutes) if minutes in WIDTHS else 0) or SECOND
    if start is None:
        moments = busiest_of(page_request)
        start = moments[0].due if moments else page_request.now.replace(microsecond=0)
    return start, start + width


def has_begun(page_request: PageRequest, now: datetime) -> bool:
    """Return whether a moment is in the time span, unless that is a single second."""
    start, end = span_of(page_request)
    return end - start > SECOND and start < now < end


def tasks_of(page_request: PageRequest, since: datetime) -> tuple[list[DueTask], str]:
    """Return the tasks that are due in the time span, and how to spread them.

    If the address does not name a way, it is the first one that changes a task.

    Args:
        since: the tasks are due from then on, if the span has begun by then.
    """
    start, end = span_of(page_request)
    groups = groups_of(page_request, end).groups
    first = since if has_begun(page_request, since) else start
    asked = page_request.asked.get("way", "")
    found = []
    for way in [asked] if asked in WAYS else WAYS:
        found.append((due_tasks(page_request.using, groups, first, end, way), way))
        if any(one.changed is not None for one in found[-1][0]):
            return found[-1]
    return found[0]


def build_tasks(page_request: PageRequest) -> dict[str, Any]:
    start, _ = span_of(page_request)
    now = page_request.now
    found, chosen = tasks_of(page_request, since=now)
    changed, pile = [one for one in found if one.changed is not None], pile_of(found)
    begin = start.replace(minute=0, second=0, microsecond=0)
    # The other tasks would hide what changes.
    load = compare(pile or found, begin)
    most = max(cell.starts for cell in load.before)
    charts = [(gettext("now"), squares(load.before, 0, most), most)]
    if pile:
        after = gettext("after the change")
        highest = max(cell.starts for cell in load.after)
        charts.append((after, squares(load.after, 0, most), highest))
    return {
        "tasks": [*pile, *(one for one in found if one not in pile)],
        "has_begun": has_begun(page_request, now),
        "pauses": pauses_of(
            page_request.using,
            {one.task.queue for one in found},
            timezone.get_current_timezone(),
        ),
        "listed_at": now.isoformat(),
        "is_full": len(found) == MAX_TASKS_LISTED,
        "changed": len(changed),
        "pile": {one.task.pk for one in pile},
        "has_declared": any(one.task.is_declared for one in changed),
        "way": chosen,
        "ways": [(_address(page_request, way), WAYS_IN_WORDS[way], way) for way in WAYS],
        "here": _address(page_request, chosen),
        "may_change": page_request.may("change_task"),
        "zone": timezone.get_current_timezone_name(),
        "minutes": int(SLICE.total_seconds() / 60),
        "charts": charts,
        "first": begin,
        "last": begin + 2 * HOUR,
    }


def _address(page_request: PageRequest, way: str) -> str:
    asked = page_request.asked
    query = [(name, asked[name]) for name in ("at", "minutes") if name in asked]
    return f"?{urlencode([*query, ('way', way)])}"


PeakPage.parts = (Part(name="tasks", build=build_tasks, stale_on=()),)
