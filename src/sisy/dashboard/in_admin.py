"""The dashboard as a part of an admin site."""

from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.urls import URLPattern, path, reverse

from sisy.dashboard import Dashboard
from sisy.dashboard.access import LOOK, View
from sisy.dashboard.routes import patterns

PREFIX = "sisy_dashboard_"


class AdminDashboard(Dashboard):
    """The dashboard below the task list of an admin site."""

    base_template = "sisy/dashboard/in_admin.html"

    def __init__(self, site: AdminSite) -> None:
        self.site = site
        self.admin_name = site.name

    def address(self, name: str, *args: Any) -> str:
        return reverse(f"admin:{PREFIX}{name}", args=args, current_app=self.site.name)

    def context(self, request: HttpRequest) -> dict[str, Any]:
        return self.site.each_context(request)

    def wrapped(self, view: View) -> View:
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not self.may(request.user, LOOK):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return self.site.admin_view(guarded)

    def under(self, folder: str) -> list[URLPattern]:
        """Return the URL patterns of the pages, below a folder."""
        return [
            path(f"{folder}{pattern.pattern}", pattern.callback, name=pattern.name)
            for pattern in patterns(self, PREFIX)
        ]
