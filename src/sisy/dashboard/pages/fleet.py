"""Workers and queues: who has what in hand, and what waits for whom."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from sisy.dashboard.page_request import Visit
from sisy.dashboard.pages.page import Page, Part
from sisy.reports.fleet import members, throughput
from sisy.reports.queues import queues


class FleetPage(Page):
    """Shows each process with its runs, and each queue with what waits in it."""

    name = "fleet"
    title = _("Workers and queues")


def build_processes(visit: Visit) -> dict[str, Any]:
    return {
        "members": members(visit.using, visit.now),
        "rates": throughput(visit.using, visit.now),
        "may_drain": visit.may("pause_task"),
    }


def build_queues(visit: Visit) -> dict[str, Any]:
    return {
        "queues": queues(visit.using, visit.now),
        "may_pause": visit.may("pause_task"),
    }


FleetPage.parts = (
    Part(name="processes", build=build_processes),
    Part(name="queues", build=build_queues),
)
