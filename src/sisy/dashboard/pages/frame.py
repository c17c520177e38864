"""The views of the frame around all pages: the search, and the reader's preferences."""

from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.views import View

from sisy.dashboard.access import Dashboard
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.preferences import (
    MINE_COOKIE,
    THEME_COOKIE,
    THEMES,
    ZONE_COOKIE,
    ZONES,
    zone_or_none,
)
from sisy.models import Run
from sisy.reports.filters import MAX_LENGTH
from sisy.reports.ledger import key_of

KEPT_FOR = 365 * 24 * 60 * 60  # seconds for which browsers keep the choices


class FindView(View):
    """Redirects to the run with a number, or to the tasks whose label contains a text."""

    dashboard: Dashboard = Dashboard()
    """The dashboard to which it belongs; set when it is mounted."""

    http_method_names = ["get", "head", "options"]

    def get(self, request: HttpRequest) -> HttpResponse:
        page_request = PageRequest(self.dashboard, request, {})
        text = page_request.asked.get("q", "").strip()[:MAX_LENGTH]
        key = key_of(text.removeprefix("#"))
        runs = Run.objects.using(page_request.using)
        # A number with a sign means a run, even one that does not exist: its page says so.
        if key is not None and (text.startswith("#") or runs.filter(pk=key).exists()):
            return HttpResponseRedirect(page_request.address("run", key))
        query = f"?{urlencode({'search': text})}" if text else ""
        return HttpResponseRedirect(page_request.address("tasks") + query)


class PreferencesView(View):
    """Stores the reader's time zone and theme in cookies, and redirects back."""

    dashboard: Dashboard = Dashboard()
    """The dashboard to which it belongs; set when it is mounted."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        page_request = PageRequest(self.dashboard, request, {})
        response = HttpResponseRedirect(page_request.next_address("overview"))
        fields = {
            "zone": (ZONE_COOKIE, ZONES.__contains__),
            "theme": (THEME_COOKIE, THEMES.__contains__),
            "mine": (MINE_COOKIE, zone_or_none),
        }
        for field, (cookie, is_valid) in fields.items():
            if is_valid(value := request.POST.get(field, "")):
                response.set_cookie(
                    cookie,
                    value,
                    max_age=KEPT_FOR,
                    secure=request.is_secure(),
                    httponly=True,
                    samesite="Lax",
                )
        return response
