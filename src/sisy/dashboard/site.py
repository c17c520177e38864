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
        ImportError: there is no such class.
    """
    dashboard = import_string(conf.usable_settings().dashboard)()
    assert isinstance(dashboard, Dashboard), "SISY_DASHBOARD must name a subclass of Dashboard"
    return dashboard


class Dashboard:
    """The pages, mounted by themselves. Subclass it to decide who may look, and how they look.

    ::

        class Jobs(Dashboard):
            base_template = "ours/jobs.html"  # with a block named "sisy"

            def may(self, user, permission):
                return user.is_active and user.has_perm(permission)

    ``SISY_DASHBOARD = "ours.Jobs"`` lets `sisy.urls` mount it, and the live socket ask it, too.
    """

    base_template = "sisy/dashboard/alone.html"
    """What the pages extend: it loads Sisy's style and script, and has a block named ``sisy``."""

    namespace = "sisy"
    """The namespace of its URLs; give each its own where a project mounts several."""

    admin_name: str | None = None
    """The name of the admin site to which the pages lead; by default the project's usual one."""

    def may(self, user: Any, permission: str) -> bool:
        """Return whether ``user`` may do what a permission such as ``sisy.run_task`` stands for.

        ``sisy.view_task`` opens the pages. By default only active members of the staff may.
        """
        return bool(user.is_active and user.is_staff and user.has_perm(permission))

    def address(self, name: str, *args: Any) -> str:
        """Return the address of a page."""
        return reverse(f"{self.namespace}:{name}", args=args)

    def context(self, request: HttpRequest) -> dict[str, Any]:
        """Return what its base template needs."""
        return {}

    def wrapped(self, view: View) -> View:
        """Return a view that lets in only those who `may` look."""

        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if self.may(request.user, LOOK):
                return view(request, *args, **kwargs)
            if request.user.is_authenticated:
                raise PermissionDenied
            return redirect_to_login(request.get_full_path(), login_address(self.admin_name))

        return guarded
