"""The page that changes the schedule of a task, after it has shown what changes."""

from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from zoneinfo import available_timezones

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext

from sisy.dashboard.actions.scheduling import set_schedule
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import Part
from sisy.dashboard.pages.task import PageBelowTask, task_of
from sisy.dashboard.parameters import elsewhere
from sisy.exceptions import ScheduleError
from sisy.models import Task
from sisy.reports import formatting
from sisy.reports.schedule_change import Change, Effect, changes_of, later_of

MAX_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The meaning of a new schedule and its effect, or the error in it.

    Attributes:
        later: the next occurrences after those in ``changes``, if few of these remain.
    """

    words: str = ""
    error: str = ""
    changes: tuple[Change, ...] = ()
    later: tuple[datetime, ...] = ()
    is_new: bool = False

    def count(self, effect: Effect) -> int:
        return sum(change.effect == effect for change in self.changes)

    @property
    def new(self) -> int:
        return self.count(Effect.NEW)

    @property
    def gone(self) -> int:
        return self.count(Effect.GONE)


class ReschedulePage(PageBelowTask):
    """Shows what a new schedule changes (GET), or saves it and redirects to the task (POST)."""

    name = "reschedule"
    http_method_names = ["get", "head", "options", "post"]
    asks = {"schedule": elsewhere, "timezone": elsewhere}

    def prepare(self, page_request: PageRequest) -> None:
        super().prepare(page_request)
        if not page_request.may("change_task") or task_of(page_request).runs_once:
            raise PermissionDenied

    def post(self, request: HttpRequest, **keys: Any) -> HttpResponse:
        page_request = PageRequest(self.dashboard, request, keys)
        self.prepare(page_request)
        task = task_of(page_request)
        wanted = {name: request.POST.get(name, "")[:MAX_LENGTH] for name in self.asks}
        if not page_request.show(set_schedule(request.user, task, **wanted)):
            return HttpResponseRedirect(f"{request.path}?{urlencode(wanted)}")
        return HttpResponseRedirect(page_request.address("task", task.pk))

    def title_of(self, page_request: PageRequest) -> str:
        return gettext("Schedule of %s") % task_of(page_request).label

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        return {
            "task": task_of(page_request),
            "wanted": wanted_of(page_request),
            "zones": sorted(available_timezones()),
        }


def wanted_of(page_request: PageRequest) -> Task:
    """Return the task with the schedule and the time zone in the URL."""
    changed = copy(task_of(page_request))
    changed.schedule = page_request.asked.get("schedule", changed.schedule).strip()[:MAX_LENGTH]
    changed.timezone = (
        page_request.asked.get("timezone", "").strip()[:MAX_LENGTH] or changed.timezone
    )
    return changed


def preview_of(task: Task, changed: Task, now: datetime) -> Preview:
    """Return what the schedule of ``changed`` means for the task."""
    try:
        found = changes_of(task, changed, now)
    except ScheduleError as error:
        return Preview(error=str(error))
    return Preview(
        words=formatting.words_of(changed.schedule, changed.timezone, changed.label),
        changes=tuple(found),
        later=tuple(later_of(changed, found)),
        is_new=(task.schedule, task.timezone) != (changed.schedule, changed.timezone),
    )


def build_changes(page_request: PageRequest) -> dict[str, Any]:
    task, changed = task_of(page_request), wanted_of(page_request)
    return {
        "task": task,
        "wanted": changed,
        "preview": preview_of(task, changed, page_request.now),
        "zone": timezone.get_current_timezone_name(),
    }


ReschedulePage.parts = (Part(name="changes", build=build_changes, stale_on=()),)
