"""The page of workers and queues."""

from typing import Any

from django.utils.translation import gettext_lazy as _

from sisy.dashboard.charts.columns import charts_of
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import BEAT, OUTPUT, RUNS, Page, Part
from sisy.reports.ended import past
from sisy.reports.fleet import members, throughput
from sisy.reports.hosts import by_host, slots_of, versions_in_words
from sisy.reports.output import progress_of
from sisy.reports.queue_history import queue_histories
from sisy.reports.queues import QueueStats, queues, unserved


class FleetPage(Page):
    """Shows each process with its runs, each queue with its last hour, and ended processes."""

    name = "fleet"
    title = _("Workers and queues")
    sheets = ("sisy/fleet.css",)


def build_processes(page_request: PageRequest) -> dict[str, Any]:
    found = members(page_request.using, page_request.now)
    named = [run for member in found for run in member.named]
    return {
        "groups": by_host(found),
        "slots": slots_of(found),
        "versions": versions_in_words(found),
        "progress": progress_of(page_request.using, named),
        "rates": throughput(page_request.using, page_request.now),
        "may_drain": page_request.may("pause_task"),
    }


def _queues(page_request: PageRequest) -> list[QueueStats]:
    """Return the queues, which two parts of the page need."""
    if "queues" not in page_request.keys:
        page_request.keys["queues"] = queues(page_request.using, page_request.now)
    found: list[QueueStats] = page_request.keys["queues"]
    return found


def build_queues(page_request: PageRequest) -> dict[str, Any]:
    found = _queues(page_request)
    ready = {queue.name: queue.ready for queue in found}
    histories = queue_histories(page_request.using, page_request.now, ready)
    charts = charts_of(histories)
    return {
        "queues": [(queue, charts[queue.name]) for queue in found],
        "sampled": histories.sampled,
        "may_pause": page_request.may("pause_task"),
    }


def build_ended(page_request: PageRequest) -> dict[str, Any]:
    found = unserved(_queues(page_request))
    return {"past": past(page_request.using, page_request.now, found)}


FleetPage.parts = (
    Part(name="processes", build=build_processes, stale_on=(RUNS, OUTPUT, BEAT)),
    Part(name="queues", build=build_queues),
    Part(name="ended", build=build_ended, stale_on=(BEAT,)),
)
