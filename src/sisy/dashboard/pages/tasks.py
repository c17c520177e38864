"""The page of all tasks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sisy.dashboard.charts.sparkline import Sparkline, sparkline
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import Page, Part
from sisy.dashboard.parameters import of_filter
from sisy.models import Run, Task, TaskState
from sisy.reports.durations import MAX_RUNS_OF_A_TASK, usual
from sisy.reports.ledger import newest_runs
from sisy.reports.tasks import NEEDS_ATTENTION, TaskFilter, find, place_of

MAX_QUEUES_OFFERED = 100  # queues in the filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A task with a summary of its latest runs."""

    task: Task
    history: Sparkline
    usual: timedelta | None
    newest: Run | None


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
    tasks, behind = find(page_request.using, filters, after)
    return {
        "rows": list(_rows(page_request.using, tasks)),
        "filters": filters,
        "default_zone": timezone.get_default_timezone_name(),
        "first": f"?{filters.query()}" if after else "",
        "next": f"?{filters.query(after=behind)}" if behind else "",
    }


def _rows(using: str, tasks: list[Task]) -> list[Row]:
    runs: dict[int | None, list[Run]] = {task.pk: [] for task in tasks}
    newest = newest_runs(using, [task.pk for task in tasks], MAX_RUNS_OF_A_TASK)
    for run in newest.defer("payload", "result", "error", "label", "target_path"):
        runs[run.task_id].append(run)
    return [
        Row(
            task=task,
            history=sparkline(runs[task.pk]),
            usual=usual(runs[task.pk]),
            newest=runs[task.pk][0] if runs[task.pk] else None,
        )
        for task in tasks
    ]


TasksPage.parts = (Part(name="list", build=build_list),)
