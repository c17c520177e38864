"""The page of all tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import Page, Part
from sisy.dashboard.parameters import of_filter
from sisy.models import Task, TaskState
from sisy.reports.squares import LatestRuns, latest_runs
from sisy.reports.tasks import NEEDS_ATTENTION, TaskFilter, find, place_of

MAX_QUEUES_OFFERED = 100  # queues in the filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A task with its latest runs."""

    task: Task
    latest: LatestRuns


def a_place(text: str, asked: Mapping[str, str]) -> str:
    """Check the position of a page in the list, which the previous page's link contains."""
    if place_of(text, asked.get("sort", "")) is None:
        return gettext("Use the page links instead.")
    return ""


class TasksPage(Page):
    """Lists tasks, with filters and with actions on the selected ones."""

    name = "tasks"
    title = _("Tasks")
    asks = {**of_filter(TaskFilter), "after": a_place}

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        filters = TaskFilter.of(page_request.asked)
        queues = Task.objects.using(page_request.using).order_by().values_list("queue", flat=True)
        return {
            "filters": filters,
            "states": [*TaskState.choices, (NEEDS_ATTENTION, _("needs attention"))],
            "queues": sorted(queues.distinct()[:MAX_QUEUES_OFFERED]),
            "sorts": [
                ("label", _("label")),
                ("next_run", _("next run")),
                ("last_run", _("latest run")),
            ],
            "add_address": page_request.admin_address("sisy_task_add")
            if page_request.may("add_task")
            else "",
            "may_run": page_request.may("run_task"),
            "may_pause": page_request.may("pause_task"),
            "may_cancel": page_request.may("cancel_run"),
            "here": page_request.request.get_full_path(),
        }


def build_list(page_request: PageRequest) -> dict[str, Any]:
    filters = TaskFilter.of(page_request.asked)
    after = page_request.asked.get("after", "")
    using, now, in_full = page_request.using, page_request.now, page_request.sees_details
    tasks, behind = find(using, filters, after)
    latest = latest_runs(using, tasks, now, in_full=in_full)
    return {
        "rows": [Row(task=task, latest=latest[task.pk]) for task in tasks],
        "drawn": latest.values(),
        "filters": filters,
        "default_zone": timezone.get_default_timezone_name(),
        "first": f"?{filters.query()}" if after else "",
        "next": f"?{filters.query(after=behind)}" if behind else "",
    }


TasksPage.parts = (Part(name="list", build=build_list),)
