"""The check of the login page to which the dashboard redirects."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register  # noqa: A004
from django.urls import NoReverseMatch


@register("sisy")
def check_login(**kwargs: Any) -> list[CheckMessage]:
    """Check the login page to which a dashboard outside the admin redirects users."""
    if not getattr(settings, "ROOT_URLCONF", ""):
        return []  # the project has only workers
    # Not at the top: its pages need django.contrib.auth, which workers may lack.
    try:
        from sisy.dashboard.access import admin_login, configured, login_exists

        dashboard = configured()
        dashboard.address("overview")
        if login_exists():
            return []
        instead = admin_login(dashboard.admin_name)
    except NoReverseMatch:
        return []  # the dashboard is not mounted
    except Exception:  # noqa: BLE001 - other checks report a broken URLconf or dashboard
        return []
    until = f"users log in at {instead}" if instead else "users cannot log in"
    return [
        Warning(
            f"The dashboard redirects users to LOGIN_URL = {str(settings.LOGIN_URL)!r}, but no "
            "URL pattern matches it.",
            hint=f"Set LOGIN_URL, for example to 'admin:login'. Until then, {until}.",
            obj="LOGIN_URL",
            id="sisy.W015",
        )
    ]
