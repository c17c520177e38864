"""The page of all runs, newest first."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import BEAT, OUTPUT, RUNS, Page, Part
from sisy.dashboard.parameters import a_key, of_filter
from sisy.models import Origin, RunState
from sisy.reports.ledger import MAX_RUNS_SEARCHED, RunFilter, find, key_of
from sisy.reports.output import progress_of


class RunsPage(Page):
    """Lists runs, with filters by state, origin, queue and label."""

    name = "runs"
    title = _("Runs")
    asks = {**of_filter(RunFilter), "before": a_key}

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        return {
            "filters": RunFilter.of(page_request.asked),
            "states": RunState.choices,
            "origins": Origin.choices,
            "searched": f"{MAX_RUNS_SEARCHED:,}",
        }


def build_list(page_request: PageRequest) -> dict[str, Any]:
    filters = RunFilter.of(page_request.asked)
    before = key_of(page_request.asked.get("before", ""))
    found, older = find(page_request.using, filters, before)
    return {
        "runs": found,
        "progress": progress_of(page_request.using, found),
        "is_filtered": not filters.is_anything,
        "newest": f"?{filters.query()}" if before is not None else "",
        "older": f"?{filters.query(before=str(older))}" if older is not None else "",
    }


RunsPage.parts = (Part(name="list", build=build_list, stale_on=(RUNS, OUTPUT, BEAT)),)
