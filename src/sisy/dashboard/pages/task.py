"""The page of a task."""

from datetime import datetime
from itertools import islice
from typing import Any, ClassVar

from django.apps import apps
from django.utils import timezone
from django.utils.translation import gettext

from sisy.dashboard import declared, policy_text
from sisy.dashboard.charts.year import year_of
from sisy.dashboard.dst_notes import around, next_clock_change, with_notes
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.alert_rows import rows_of
from sisy.dashboard.pages.page import BEAT, OUTPUT, RUNS, Missing, Page, Part
from sisy.dashboard.parameters import a_key
from sisy.models import Run, RunState, Task, TaskState
from sisy.planning.timing import occurrences
from sisy.records.small_tables import QueuedRun, planned_ahead
from sisy.records.task_change import MAX_KEPT
from sisy.reports.alerts import open_alerts
from sisy.reports.alerts.grouping import grouped
from sisy.reports.alerts.history import number_of_task
from sisy.reports.alerts.recorded import about_task
from sisy.reports.daily import days_of
from sisy.reports.explain import why_queued
from sisy.reports.ledger import by_occurrence, key_of, page_of
from sisy.reports.output import progress_of
from sisy.reports.queue_pauses import pauses_of
from sisy.reports.task_changes import changes_of_task
from sisy.reports.task_errors import errors_of
from sisy.reports.trend import trend_of

MAX_OCCURRENCES_SHOWN = 10
MAX_CHANGES_SHOWN = 5  # the older ones are folded
MAX_LOG_LINES = 10  # entries of the admin's log


class TaskPage(Page):
    """Shows a task's settings, its past and next runs, its errors and its changes."""

    name = "task"
    tab = "tasks"
    sheets: ClassVar[tuple[str, ...]] = ("sisy/overview.css", "sisy/task.css")
    asks = {"before": a_key}

    def prepare(self, page_request: PageRequest) -> None:
        pk = page_request.keys["pk"]
        page_request.keys["task"] = Task.objects.using(page_request.using).filter(pk=pk).first()
        if page_request.keys["task"] is None:
            raise Missing(
                gettext("Task %d does not exist, or has been deleted.") % pk,
                [
                    (f"{page_request.address('runs')}?task={pk}", gettext("Its runs")),
                    (page_request.address("tasks"), gettext("All tasks")),
                ],
            )

    def trail(self, page_request: PageRequest) -> list[tuple[str, Any]]:
        return [(page_request.address("tasks"), gettext("Tasks"))]

    def zone_of(self, page_request: PageRequest) -> str:
        return task_of(page_request).timezone

    def title_of(self, page_request: PageRequest) -> str:
        return task_of(page_request).label

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        task = task_of(page_request)
        may_edit = page_request.may("change_task") and not task.runs_once
        return {
            "task": task,
            "zone": timezone.get_current_timezone_name(),
            "here": page_request.request.get_full_path(),
            "may_run": page_request.may("run_task"),
            "may_pause": page_request.may("pause_task"),
            "may_cancel": page_request.may("cancel_run"),
            "may_backfill": page_request.may("backfill_task") and not task.runs_once,
            "may_reset": page_request.may("change_task") and bool(task.overrides()),
            "can_resume": task.state in (TaskState.PAUSED, TaskState.BROKEN),
            "is_active": task.state == TaskState.ACTIVE,
            "may_reschedule": may_edit,
            # Not a part: it is read once, and not again when anything happens.
            **self.year(page_request),
            "edit": page_request.admin_address("sisy_task_change", task.pk) if may_edit else "",
        }

    def year(self, page_request: PageRequest) -> dict[str, Any]:
        """Return the context of the days of a year."""
        zone = timezone.get_current_timezone()
        today = page_request.now.astimezone(zone).date()
        task = task_of(page_request)
        days = days_of(page_request.using, task, zone)
        return {
            "days": days,
            "year": year_of(days, today, zone),
            "runs_of_task": f"{page_request.address('runs')}?task={task.pk}",
        }


class PageBelowTask(TaskPage):
    """A page about one task, to which the page of the task leads."""

    sheets: ClassVar[tuple[str, ...]] = ()

    def trail(self, page_request: PageRequest) -> list[tuple[str, Any]]:
        task = task_of(page_request)
        return [*super().trail(page_request), (page_request.address("task", task.pk), task.label)]


def task_of(page_request: PageRequest) -> Task:
    """Return the task of the page."""
    task: Task = page_request.keys["task"]
    return task


def build_head(page_request: PageRequest) -> dict[str, Any]:
    task = task_of(page_request)
    counts = task.counts()
    known = [(state, counts[state]) for state in RunState.values if counts.get(state)]
    first = _first_queued(page_request.using, task, page_request.now)
    zone = timezone.get_current_timezone()
    pauses = pauses_of(page_request.using, [task.queue], zone)
    return {
        "task": task,
        "pauses": pauses,
        "is_held": any(pause.holds(task.next_run) for pause in pauses),
        "counts": known,
        "alerts": number_of_task(page_request.using, task.pk),
        "queued": first,
        "why": why_queued(first, page_request.now, zone) if first else "",
        "declared": declared.in_words(task),
        "overrides": declared.overrides_in_words(task),
        "default_zone": timezone.get_default_timezone_name(),
        "after_pause": next(occurrences(task, page_request.now), None)
        if task.paused_until
        else None,
    }


def _first_queued(using: str, task: Task, now: datetime) -> Run | None:
    queued = QueuedRun.objects.using(using).filter(task_id=task.pk).exclude(planned_ahead(now))
    queued = queued.order_by("ready_at", "run_id")
    runs = Run.objects.using(using).select_related("task").filter(state=RunState.QUEUED)
    return runs.filter(pk__in=list(queued.values_list("run_id", flat=True)[:1])).first()


def build_history(page_request: PageRequest) -> dict[str, Any]:
    trend = trend_of(page_request.using, task_of(page_request))
    return {"trend": trend, "size": trend.points[-1].count if trend.points else 0}


def build_coming(page_request: PageRequest) -> dict[str, Any]:
    task, now = task_of(page_request), page_request.now
    due = islice(occurrences(task, now), MAX_OCCURRENCES_SHOWN)
    try:
        coming = list(with_notes(due, task.timezone, now))
        change = next_clock_change(task.timezone, now) if coming else None
        notes = around(task, change) if change and change > coming[-1].due else []
    except ValueError:  # such as a zone that does not exist any more
        return {"task": task, "coming": []}
    zone = timezone.get_current_timezone_name()
    found = {"coming": coming, "clock_change": change, "notes": notes}
    return {"task": task, "zone": zone, **found}


def build_about(page_request: PageRequest) -> dict[str, Any]:
    task = task_of(page_request)
    may_see = page_request.sees_details
    return {
        "task": task,
        "policies": policy_text.in_words(task),
        "may_see": may_see,
        "userdata": task.userdata if may_see else None,
    }


def build_errors(page_request: PageRequest) -> dict[str, Any]:
    if not page_request.sees_details:
        return {"errors": None}
    using, task = page_request.using, task_of(page_request)
    return {"errors": errors_of(using, task, page_request.now)}


def build_changes(page_request: PageRequest) -> dict[str, Any]:
    task = task_of(page_request)
    found = changes_of_task(page_request.using, task, page_request.may)
    return {
        "task": task,
        "changes": found[:MAX_CHANGES_SHOWN],
        "older": found[MAX_CHANGES_SHOWN:],
        "is_complete": len(found) < MAX_KEPT,
        "may_revert": page_request.may("change_task") and not task.runs_once,
    }


def build_ledger(page_request: PageRequest) -> dict[str, Any]:
    runs = Run.objects.using(page_request.using).filter(task=task_of(page_request))
    before = key_of(page_request.asked.get("before", ""))
    found, older = page_of(runs.defer("payload", "result", "error"), before)
    return {
        "runs": by_occurrence(found),
        "progress": progress_of(page_request.using, found),
        "older": older,
        "is_older": before is not None,
    }


def build_alerts(page_request: PageRequest) -> dict[str, Any]:
    task = task_of(page_request)
    using, now, in_full = page_request.using, page_request.now, page_request.sees_details
    groups = grouped(open_alerts(using, now, about_task(task), in_full=in_full))
    return rows_of(page_request, groups, shows_notes=False)


def build_log(page_request: PageRequest) -> dict[str, Any]:
    if not apps.is_installed("django.contrib.admin"):
        return {"entries": []}
    from django.contrib.admin.models import LogEntry
    from django.contrib.contenttypes.models import ContentType

    kind = ContentType.objects.get_for_model(Task)
    entries = LogEntry.objects.filter(content_type=kind, object_id=str(task_of(page_request).pk))
    return {"entries": entries.select_related("user").order_by("-pk")[:MAX_LOG_LINES]}


TaskPage.parts = (
    Part(name="head", build=build_head),
    Part(name="alerts", build=build_alerts, stale_on=(BEAT,)),
    Part(name="history", build=build_history, stale_on=(RUNS,)),
    Part(name="coming", build=build_coming),
    Part(name="about", build=build_about, stale_on=(BEAT,)),
    Part(name="errors", build=build_errors, stale_on=(RUNS,)),
    Part(name="changes", build=build_changes, stale_on=(BEAT,)),
    Part(name="ledger", build=build_ledger, stale_on=(RUNS, OUTPUT, BEAT)),
    Part(name="log", build=build_log, stale_on=(BEAT,)),
)
