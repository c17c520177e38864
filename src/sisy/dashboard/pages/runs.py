"""The ledger: all runs, newest first."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from sisy.dashboard.asking import a_key, of_wanted
from sisy.dashboard.page_request import Visit
from sisy.dashboard.pages.page import Page, Part
from sisy.models import Origin, RunState
from sisy.reports.ledger import SEARCHED, WantedRuns, find, key_of


class RunsPage(Page):
    """Lists runs by what they came to, and what asked for them."""

    name = "runs"
    title = _("Runs")
    asks = {**of_wanted(WantedRuns), "before": a_key}

    def context(self, visit: Visit) -> dict[str, Any]:
        return {
            "wanted": WantedRuns.of(visit.asked),
            "states": RunState.choices,
            "origins": Origin.choices,
            "searched": SEARCHED,
        }


def build_list(visit: Visit) -> dict[str, Any]:
    wanted = WantedRuns.of(visit.asked)
    before = key_of(visit.asked.get("before", ""))
    found, older = find(visit.using, wanted, before)
    return {
        "runs": found,
        "newest": f"?{wanted.query()}" if before is not None else "",
        "older": f"?{wanted.query(before=str(older))}" if older is not None else "",
    }


RunsPage.parts = (Part(name="list", build=build_list),)
