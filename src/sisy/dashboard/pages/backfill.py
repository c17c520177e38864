"""The page on which somebody has the occurrences of a range made good."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext

from sisy.dashboard.asking import elsewhere
from sisy.dashboard.backfilling import RANGE, asked_for, run
from sisy.dashboard.page_request import Visit
from sisy.dashboard.pages.task import TaskPage, task_of


class BackfillPage(TaskPage):
    """Shows what a range would run (GET), or runs it (POST) and leads back to the task."""

    name = "backfill"
    http_method_names = ["get", "head", "options", "post"]
    parts = ()
    asks = dict.fromkeys(RANGE, elsewhere)

    def prepare(self, visit: Visit) -> None:
        super().prepare(visit)
        if not visit.may("backfill_task"):
            raise PermissionDenied
        visit.keys["form"], visit.keys["asked"] = asked_for(task_of(visit), visit.request)

    def post(self, request: HttpRequest, **keys: Any) -> HttpResponse:
        visit = Visit(self.dashboard, request, keys)
        self.prepare(visit)
        form = visit.keys["form"]
        if not form.is_valid() or (said := run(request.user, form)) is None:
            return self.whole(visit)
        messages.add_message(request, said.level, said.words, fail_silently=True)
        return HttpResponseRedirect(visit.address("task", task_of(visit).pk))

    def title_of(self, visit: Visit) -> str:
        return gettext("Backfill: %s") % task_of(visit).label

    def context(self, visit: Visit) -> dict[str, Any]:
        form = visit.keys["form"]
        return {
            "task": task_of(visit),
            "form": form,
            "asked": visit.keys["asked"],
            "preview": form.preview if form.is_bound and form.is_valid() else None,
            "zone": timezone.get_current_timezone_name(),
        }
