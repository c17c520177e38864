"""The page that undoes a recorded change of a task, after it has shown what changes."""

import hashlib
from collections.abc import Mapping
from copy import copy
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext

from sisy.dashboard.actions.reverting import revert
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import Part
from sisy.dashboard.pages.reschedule import Preview, preview_of
from sisy.dashboard.pages.task import PageBelowTask, task_of
from sisy.models import Task, TaskChange
from sisy.models.declared import give, in_json
from sisy.records.nested import written
from sisy.records.task_fields import TIMING_FIELDS
from sisy.reports.task_changes import diff, forbidden, undoing


class RevertPage(PageBelowTask):
    """Shows what undoing a change changes (GET), or does it and redirects to the task (POST)."""

    name = "revert"
    sheets = ("sisy/task.css",)
    http_method_names = ["get", "head", "options", "post"]
    asks = {}

    def prepare(self, page_request: PageRequest) -> None:
        super().prepare(page_request)
        task = task_of(page_request)
        if not page_request.may("change_task") or task.runs_once:
            raise PermissionDenied
        stored = TaskChange.objects.using(page_request.using).filter(task_id=task.pk)
        change = stored.filter(pk=page_request.keys["change"]).first()
        if change is None:
            raise Http404("This change does not exist, or has been deleted.")
        page_request.keys["recorded"] = change
        page_request.keys["values"] = undoing(task, change)

    def post(self, request: HttpRequest, **keys: Any) -> HttpResponse:
        page_request = PageRequest(self.dashboard, request, keys)
        self.prepare(page_request)
        task, values = task_of(page_request), page_request.keys["values"]
        if forbidden(values, page_request.may):
            raise PermissionDenied
        if request.POST.get("seen", "") != fingerprint(task, values):
            stale = gettext("The task was changed in the meantime. Check the preview again.")
            messages.error(request, stale, fail_silently=True)
            return HttpResponseRedirect(request.path)
        page_request.show(revert(request.user, task, page_request.keys["recorded"]))
        return HttpResponseRedirect(page_request.address("task", task.pk))

    def title_of(self, page_request: PageRequest) -> str:
        return gettext("Revert a change of %s") % task_of(page_request).label

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        return {"task": task_of(page_request)}


def fingerprint(task: Task, values: Mapping[str, Any]) -> str:
    """Return a text that changes if undoing a change would change something else."""
    now = in_json(task)
    both = {name: [now[name], values[name]] for name in sorted(values)}
    return hashlib.blake2b(written(both).encode(), digest_size=16).hexdigest()


def build_changes(page_request: PageRequest) -> dict[str, Any]:
    task, values = task_of(page_request), page_request.keys["values"]
    now = in_json(task)
    both = {name: [now[name], value] for name, value in values.items()}
    return {
        "task": task,
        "recorded": page_request.keys["recorded"],
        "fields": list(diff(both, page_request.may)),
        "forbidden": forbidden(values, page_request.may),
        "seen": fingerprint(task, values),
        "preview": _preview(page_request, values),
        "zone": timezone.get_current_timezone_name(),
    }


def _preview(page_request: PageRequest, values: Mapping[str, Any]) -> Preview | None:
    """Return what changes for the next occurrences; None if the schedule stays."""
    if not values.keys() & TIMING_FIELDS:
        return None
    changed = copy(task_of(page_request))
    try:
        give(changed, values)
    except (ValueError, ValidationError) as error:
        return Preview(error=str(error))
    return preview_of(task_of(page_request), changed, page_request.now)


RevertPage.parts = (Part(name="changes", build=build_changes, stale_on=()),)
