"""The URLs, permissions and links of the pages."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils.module_loading import import_string

from sisy import conf
from sisy.dashboard.login import login_address

LOOK = "sisy.view_task"

View = Callable[..., HttpResponseBase]


def configured() -> "Dashboard":
    """Return the dashboard that ``SISY_DASHBOARD`` names.

    Raises:
        ImportError: the class does not exist.
    """
    dashboard = import_string(conf.usable_settings().dashboard)()
    assert isinstance(dashboard, Dashboard), "SISY_DASHBOARD must name a subclass of Dashboard"
    return dashboard


class Dashboard:
    """The dashboard outside of the admin. Subclass it to change permissions and the base template.

    ::

        class Jobs(Dashboard):
            base_template = "ours/jobs.html"  # with a block named "sisy"

            def may(self, user, permission):
                return user.is_active and user.has_perm(permission)

    ``SISY_DASHBOARD = "ours.Jobs"`` makes `sisy.urls` and the WebSocket use it.
    """

    base_template = "sisy/dashboard/alone.html"
    """The template that all pages extend. It includes Sisy's head and has a block ``sisy``."""

    namespace = "sisy"
    """The namespace of its URLs. If a project has several dashboards, each needs its own."""

    admin_name: str | None = None
    """The name of the admin site to which the pages link; by default Django's default site."""

    def may(self, user: Any, permission: str) -> bool:
        """Return whether ``user`` has a permission such as ``sisy.run_task``.

        ``sisy.view_task`` opens the pages. By default, only active staff users have permissions.
        """
        return bool(user.is_active and user.is_staff and user.has_perm(permission))

    def address(self, name: str, *args: Any) -> str:
        """Return the address of a page."""
        return reverse(f"{self.namespace}:{name}", args=args)

    def context(self, request: HttpRequest) -> dict[str, Any]:
        """Return the context of the base template."""
        return {}

    def wrapped(self, view: View) -> View:
        """Return a view that requires the permission to see the dashboard, according to `may`."""

        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if self.may(request.user, LOOK):
                return view(request, *args, **kwargs)
            if request.user.is_authenticated:
                raise PermissionDenied
            return redirect_to_login(request.get_full_path(), login_address(self.admin_name))

        return guarded
