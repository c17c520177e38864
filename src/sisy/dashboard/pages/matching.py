"""The pages that retry or cancel all runs that match the filters, once a person has confirmed."""

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import router
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from sisy.dashboard.actions import runs as actions
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import Page
from sisy.dashboard.pages.runs import RunsPage, search_of
from sisy.models import Run
from sisy.records.choices import FAILED_STATES, LIVE_STATES
from sisy.reports.run_filter import RunFilter
from sisy.reports.run_search import find_all, in_states

MAX_CHANGED = 1000  # runs that one press changes
MAX_PARTS = 20  # parts of a search, each with the limit of one page

VERBS = {
    "retry": ("run_task", FAILED_STATES, actions.retry),
    "cancel": ("cancel_run", LIVE_STATES, actions.cancel),
}
EFFECTS = {
    "retry": _(
        "Each is submitted again, with the same input, in addition to the schedule. Runs that "
        "cannot be retried are listed."
    ),
    "cancel": _("Queued runs will not start. Running ones are asked to stop."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """The runs that match, newest first, and whether there may be more."""

    runs: list[Run]
    has_more: bool


class MatchingPage(Page):
    """Says how many runs match and what happens (GET), or changes them (POST)."""

    name = "matching"
    tab = "runs"
    http_method_names = ["get", "head", "options", "post"]
    asks = RunsPage.asks

    def prepare(self, page_request: PageRequest) -> None:
        verb = page_request.keys["verb"]
        if verb not in VERBS:
            raise Http404(gettext("Unknown action."))
        if not page_request.may(VERBS[verb][0]):
            raise PermissionDenied
        if RunFilter.of(page_request.asked).is_anything:
            raise Http404(gettext("Choose runs by at least one filter."))

    def post(self, request: HttpRequest, **keys: Any) -> HttpResponse:
        page_request = PageRequest(self.dashboard, request, keys)
        self.prepare(page_request)
        _, _, act = VERBS[keys["verb"]]
        rows = Run.objects.using(router.db_for_write(Run))
        chosen = [run.pk for run in matching(page_request).runs]
        for said in act(request.user, rows.filter(pk__in=chosen)):
            messages.add_message(request, said.level, said.words, fail_silently=True)
        return HttpResponseRedirect(back_of(page_request))

    def trail(self, page_request: PageRequest) -> list[tuple[str, Any]]:
        return [(page_request.address("runs"), gettext("Runs"))]

    def title_of(self, page_request: PageRequest) -> str:
        is_retry = page_request.keys["verb"] == "retry"
        return gettext("Retry runs") if is_retry else gettext("Cancel runs")

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        verb, found = page_request.keys["verb"], matching(page_request)
        number = len(found.runs)
        counts = Counter(str(run.get_state_display()) for run in found.runs)
        return {
            "verb": verb,
            "number": number,
            "has_more": found.has_more,
            "question": _question(verb, number),
            "states": [(count, words) for words, count in counts.most_common()],
            "effect": EFFECTS[verb],
            "button": _button(verb, number),
            "back": back_of(page_request),
        }


def matching(page_request: PageRequest) -> Matching:
    """Return the runs that match and that the verb can change."""
    using = page_request.using
    _, states, _ = VERBS[page_request.keys["verb"]]
    parts = find_all(using, in_states(search_of(page_request), states), most=MAX_CHANGED + 1)
    found, is_over = [], False
    for part in islice(parts, MAX_PARTS):
        found += [run for run in part.runs if run.state in states]
        is_over = part.next_before is None
    return Matching(runs=found[:MAX_CHANGED], has_more=len(found) > MAX_CHANGED or not is_over)


def back_of(page_request: PageRequest) -> str:
    """Return the address of the list with the same filters."""
    return f"{page_request.address('runs')}?{RunFilter.of(page_request.asked).query()}"


def _question(verb: str, number: int) -> str:
    if not number:
        none = gettext("No matching runs can be retried.")
        return none if verb == "retry" else gettext("No matching runs can be cancelled.")
    if verb == "retry":
        return ngettext("Retry %d run?", "Retry %d runs?", number) % number
    return ngettext("Cancel %d run?", "Cancel %d runs?", number) % number


def _button(verb: str, number: int) -> str:
    if verb == "retry":
        return ngettext("Retry %d run", "Retry %d runs", number) % number
    return ngettext("Cancel %d run", "Cancel %d runs", number) % number
