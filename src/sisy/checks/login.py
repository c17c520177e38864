"""Checks that people can log in where the dashboard sends them."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register  # noqa: A004
from django.urls import NoReverseMatch


@register("sisy")
def check_login(**kwargs: Any) -> list[CheckMessage]:
    """Check the login page to which a dashboard of its own, outside of the admin, sends people."""
    if not getattr(settings, "ROOT_URLCONF", ""):
        return []  # a project of workers alone
    # Not at the top: its pages need django.contrib.auth, which workers do without.
    try:
        from sisy.dashboard.login import admin_login, login_exists
        from sisy.dashboard.site import configured

        dashboard = configured()
        dashboard.address("overview")
        if login_exists():
            return []
        instead = admin_login(dashboard.admin_name)
    except NoReverseMatch:
        return []  # it is not mounted
    except Exception:  # noqa: BLE001 - of a URLconf or a dashboard, of which other checks speak
        return []
    until = f"users log in at {instead}" if instead else "nobody can log in"
    return [
        Warning(
            f"The dashboard redirects users to LOGIN_URL = {str(settings.LOGIN_URL)!r}, but no "
            "URL pattern matches it.",
            hint=f"Set LOGIN_URL, for example to 'admin:login'. Until then, {until}.",
            obj="LOGIN_URL",
            id="sisy.W015",
        )
    ]
