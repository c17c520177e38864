"""The page of workers and queues."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import Page, Part
from sisy.reports.fleet import members, throughput
from sisy.reports.queues import queues


class FleetPage(Page):
    """Shows each process with its runs, and each queue with its counts."""

    name = "fleet"
    title = _("Workers and queues")


def build_processes(page_request: PageRequest) -> dict[str, Any]:
    return {
        "members": members(page_request.using, page_request.now),
        "rates": throughput(page_request.using, page_request.now),
        "may_drain": page_request.may("pause_task"),
    }


def build_queues(page_request: PageRequest) -> dict[str, Any]:
    return {
        "queues": queues(page_request.using, page_request.now),
        "may_pause": page_request.may("pause_task"),
    }


FleetPage.parts = (
    Part(name="processes", build=build_processes),
    Part(name="queues", build=build_queues),
)
