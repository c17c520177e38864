"""The page of all tasks."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import Page, Part
from sisy.dashboard.parameters import of_filter
from sisy.models import Alert, Queue, Task, TaskState
from sisy.reports.alerts.streaks import flapping
from sisy.reports.queue_names import queues_of
from sisy.reports.squares import LatestRuns, latest_runs
from sisy.reports.task_groups import TaskGroup, open_alerts
from sisy.reports.task_rows import TaskRow
from sisy.reports.tasks import NEEDS_ATTENTION, NO_GROUPS, TaskFilter, find, place_of

MAX_QUEUES_OFFERED = 100  # queues in the filter
GROUPINGS = (
    ("", _("similar tasks")),
    ("app", _("app")),
    ("queue", _("queue")),
    ("prefix", _("label prefix")),
    (NO_GROUPS, _("nothing")),
)
WITHOUT_GROUP = {"app": _("Not in an app"), "queue": "", "prefix": _("No prefix")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row with its latest runs and its open alerts, and the keys of those that flap.

    Attributes:
        row: a task, or similar tasks that share the row.
        task: the task, or the one of several that is due next.
    """

    row: TaskRow
    task: Task
    latest: LatestRuns
    alerts: Collection[Alert]
    flapping: Collection[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A group of tasks with their rows; a group of another page has none."""

    group: TaskGroup
    rows: list[Row]
    name: Any
    address: str
    """The address of the list of this group; empty for the tasks without a group."""
    problems_address: str
    """The address of those of them that need attention; empty as well."""


def a_place(text: str, asked: Mapping[str, str]) -> str:
    """Check the position of a page in the list, which the previous page's link contains."""
    if place_of(text, TaskFilter.of(asked)) is None:
        return gettext("Use the page links instead.")
    return ""


class TasksPage(Page):
    """Lists tasks, with filters and with actions on the selected ones."""

    name = "tasks"
    title = _("Tasks")
    sheets = ("sisy/squares.css",)
    asks = {**of_filter(TaskFilter), "after": a_place}

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        filters = TaskFilter.of(page_request.asked)
        queues = queues_of(Task.objects.using(page_request.using))
        return {
            "filters": filters,
            "states": [*TaskState.choices, (NEEDS_ATTENTION, _("needs attention"))],
            "queues": queues[:MAX_QUEUES_OFFERED],
            "sorts": [
                ("label", _("label")),
                ("next_run", _("next run")),
                ("last_run", _("latest run")),
            ],
            "groupings": GROUPINGS,
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
    found = find(using, filters, after, now=now)
    latest = latest_runs(using, found.rows, now, in_full=in_full)
    tasks = [row.task for row in found.rows if row.task]
    alerts = open_alerts(using, tasks)
    flap = flapping(using, chain.from_iterable(alerts.values()), now)
    rows = {row.key: _drawn(row, latest[row.key], alerts, flap) for row in found.rows}
    return {
        "rows": list(rows.values()),
        "sections": [
            Section(
                group=group,
                rows=[rows[str(task.pk)] for task in group.tasks],
                name=group.key or WITHOUT_GROUP[filters.group],
                address=f"?{filters.query(only=group.key)}" if group.key else "",
                problems_address=f"?{filters.query(only=group.key, state=NEEDS_ATTENTION)}"
                if group.key
                else "",
            )
            for group in found.groups
        ],
        "all_groups": f"?{filters.query(only='')}" if filters.only else "",
        "drawn": latest.values(),
        "filters": filters,
        "paused_queues": set(Queue.objects.using(using).paused().values_list("name", flat=True)),
        "default_zone": timezone.get_default_timezone_name(),
        "first": f"?{filters.query()}" if after else "",
        "next": f"?{filters.query(after=found.next)}" if found.next else "",
    }


def _drawn(
    row: TaskRow,
    latest: LatestRuns,
    alerts: Mapping[int, Collection[Alert]],
    flapping: Collection[int],
) -> Row:
    due = [task for task in row.tasks if task.next_run]
    task = min(due, key=attrgetter("next_run")) if due else row.tasks[0]
    of_task = alerts.get(task.pk, ()) if row.task else ()
    return Row(row=row, task=task, latest=latest, alerts=of_task, flapping=flapping)


TasksPage.parts = (Part(name="list", build=build_list),)
