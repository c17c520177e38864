"""The pages that retry or cancel all runs that match the filters, once a person has confirmed."""

from collections import Counter
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import router
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext, ngettext

from sisy.dashboard.actions import confirming
from sisy.dashboard.actions import runs as actions
from sisy.dashboard.actions.confirming import Question
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import Page
from sisy.dashboard.pages.runs import RunsPage, problems_of, search_of
from sisy.models import Run
from sisy.models.run import RunQuerySet
from sisy.records.choices import FAILED_STATES, LIVE_STATES
from sisy.reports import formatting
from sisy.reports.ledger import key_of
from sisy.reports.repeats import repeats_of
from sisy.reports.run_filter import RunFilter
from sisy.reports.run_search import RunSearch, find_all, in_states

MAX_CHANGED = 1000  # runs that one press changes
MAX_PARTS = 20  # parts of a search, each with the limit of one page

VERBS = {
    "retry": ("run_task", FAILED_STATES, actions.retry),
    "cancel": ("cancel_run", LIVE_STATES, actions.cancel),
}
EFFECTS = {"retry": confirming.RETRY_EFFECT, "cancel": confirming.CANCEL_EFFECT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """The runs that match, newest first.

    Attributes:
        older: the key below which there may be more; None if these are all.
        repeated: how many were left out because people have retried or backfilled them.
    """

    runs: list[Run]
    older: int | None = None
    repeated: int = 0


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
        if problems_of(page_request):
            return HttpResponseRedirect(request.get_full_path())
        _, _, act = VERBS[keys["verb"]]
        page_request.show(act(request.user, confirmed(page_request)))
        # Runs that were retried still match, so the page of the others must begin below them.
        older = key_of(request.POST.get("older", ""))
        back = back_of(page_request) if older is None else older_of(page_request, older)
        return HttpResponseRedirect(back)

    def refusals_of(self, page_request: PageRequest) -> list[str]:
        return problems_of(page_request)

    def trail(self, page_request: PageRequest) -> list[tuple[str, Any]]:
        return [(page_request.address("runs"), gettext("Runs"))]

    def title_of(self, page_request: PageRequest) -> str:
        is_retry = page_request.keys["verb"] == "retry"
        return gettext("Retry runs") if is_retry else gettext("Cancel runs")

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        verb, is_wrong = page_request.keys["verb"], bool(problems_of(page_request))
        found = Matching(runs=[]) if is_wrong else matching(page_request)
        number = len(found.runs)
        question = Question(
            words=gettext("Correct the filters.") if is_wrong else _question(verb, number),
            parts=[
                *formatting.counted_states(Counter(run.state for run in found.runs)),
                *confirming.by_label(Counter(run.label for run in found.runs)),
                *_left_out(found.repeated),
            ],
            effect=str(EFFECTS[verb]) if number else "",
            button=_button(verb, number) if number else "",
            is_harmful=True,
        )
        return {
            "question": question,
            "number": number,
            "fields": [
                ("seen", ",".join(str(run.pk) for run in found.runs)),
                ("older", "" if found.older is None else str(found.older)),
            ],
            "older_address": "" if found.older is None else older_of(page_request, found.older),
            "back": back_of(page_request),
            "back_words": gettext("Back to the runs"),
        }


def matching(page_request: PageRequest) -> Matching:
    """Return the runs that match and that the verb can change."""
    search = _search_of(page_request)
    if not search.states:
        return Matching(runs=[])
    before = key_of(page_request.asked.get("before", ""))
    parts = find_all(page_request.using, search, before=before, most=MAX_CHANGED + 1)
    found: list[Run] = []
    older = None
    for part in islice(parts, MAX_PARTS):
        found += part.runs
        older = part.next_before
    if len(found) > MAX_CHANGED:
        older = found[MAX_CHANGED - 1].pk
    found = found[:MAX_CHANGED]
    if page_request.keys["verb"] != "retry":
        return Matching(runs=found, older=older)
    repeats = repeats_of(page_request.using, found)
    left = [run for run in found if run.pk not in repeats]
    return Matching(runs=left, older=older, repeated=len(repeats))


def confirmed(page_request: PageRequest) -> RunQuerySet:
    """Return the runs that the page listed, without those that no longer match."""
    # Other runs may match by now, but the user has not confirmed them.
    keys = [key_of(text) for text in page_request.request.POST.get("seen", "").split(",")]
    seen = [key for key in keys if key is not None][:MAX_CHANGED]
    search = _search_of(page_request)
    rows: RunQuerySet = Run.objects.using(router.db_for_write(Run))
    return rows.filter(search.conditions(), pk__in=seen) if search.states else rows.none()


def _search_of(page_request: PageRequest) -> RunSearch:
    """Return the search, limited to the states that the verb can change; it may have none."""
    _, states, _ = VERBS[page_request.keys["verb"]]
    search = in_states(search_of(page_request), states)
    return replace(search, states=tuple(state for state in search.states if state in states))


def older_of(page_request: PageRequest, before: int) -> str:
    """Return the address of the page about the runs with smaller keys."""
    filters = RunFilter.of(page_request.asked)
    return f"{page_request.request.path}?{filters.query(before=str(before))}"


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


def _left_out(repeated: int) -> list[str]:
    """Return that some runs are not retried again; nothing for none."""
    words = ngettext(
        "%d run was retried or backfilled already, and is left out.",
        "%d runs were retried or backfilled already, and are left out.",
        repeated,
    )
    return [words % repeated] if repeated else []


def _button(verb: str, number: int) -> str:
    if verb == "retry":
        return ngettext("Retry %d run", "Retry %d runs", number) % number
    return ngettext("Cancel %d run", "Cancel %d runs", number) % number
