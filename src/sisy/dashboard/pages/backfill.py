"""The page that backfills the occurrences of a range."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext

from sisy.dashboard.backfilling import RANGE, asked_for, run
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.task import PageBelowTask, task_of
from sisy.dashboard.parameters import elsewhere


class BackfillPage(PageBelowTask):
    """Previews a backfill (GET), or runs it and redirects to the task (POST)."""

    name = "backfill"
    http_method_names = ["get", "head", "options", "post"]
    parts = ()
    asks = dict.fromkeys(RANGE, elsewhere)

    def prepare(self, page_request: PageRequest) -> None:
        super().prepare(page_request)
        if not page_request.may("backfill_task"):
            raise PermissionDenied
        page_request.keys["form"], page_request.keys["asked"] = asked_for(
            task_of(page_request), page_request.request
        )

    def post(self, request: HttpRequest, **keys: Any) -> HttpResponse:
        page_request = PageRequest(self.dashboard, request, keys)
        self.prepare(page_request)
        form = page_request.keys["form"]
        if not form.is_valid() or (said := run(request.user, form)) is None:
            return self.whole(page_request)
        page_request.show([said])
        return HttpResponseRedirect(page_request.address("task", task_of(page_request).pk))

    def chosen_zone(self, page_request: PageRequest) -> None:
        """Return None: the form is always read in the zone of the site."""

    def title_of(self, page_request: PageRequest) -> str:
        return gettext("Backfill of %s") % task_of(page_request).label

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        form = page_request.keys["form"]
        return {
            "task": task_of(page_request),
            "form": form,
            "asked": page_request.keys["asked"],
            "preview": form.preview if form.is_bound and form.is_valid() else None,
            "zone": timezone.get_current_timezone_name(),
        }
