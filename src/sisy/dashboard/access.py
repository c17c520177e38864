"""The dashboard as a project configures it: who may open it, its URLs, and where to log in."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils.module_loading import import_string
from django.utils.translation import get_language

from sisy import conf


def login_address(admin_name: str | None = None) -> str:
    """Return the address of Django's ``LOGIN_URL``, or of the admin's login if it does not exist.

    Args:
        admin_name: the name of the admin site; by default Django's default site.
    """
    return (login_exists() and _named()) or admin_login(admin_name) or str(settings.LOGIN_URL)


def admin_login(admin_name: str | None = None) -> str:
    """Return the address of the admin's login; empty without an admin."""
    try:
        return reverse("admin:login", current_app=admin_name)
    except NoReverseMatch:
        return ""


def login_exists() -> bool:
    """Return whether ``LOGIN_URL`` matches a URL pattern; True if it is on another host."""
    address = urlsplit(_named())
    if address.netloc:
        return True
    path = "/" + address.path.removeprefix(get_script_prefix())
    # LocaleMiddleware redirects to the page with a language prefix.
    return any(map(_resolves, (path, f"/{get_language()}{path}")))


def _named() -> str:
    """Return the path of ``LOGIN_URL``, which may be the name of a URL; empty if unknown."""
    try:
        return str(resolve_url(settings.LOGIN_URL))
    except NoReverseMatch:
        return ""


def _resolves(path: str) -> bool:
    try:
        resolve(path)
    except Resolver404:
        return False
    return True


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
    """The dashboard outside the admin. Subclass it to change permissions and the base template.

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
