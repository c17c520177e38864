"""The URL patterns of a dashboard's pages."""

from django.urls import URLPattern, path

from sisy.dashboard.access import Dashboard
from sisy.dashboard.cleaning import cleaned
from sisy.dashboard.pages import PAGES


def patterns(dashboard: Dashboard, prefix: str = "") -> list[URLPattern]:
    """Return a pattern for each page, named ``prefix`` and the page's own name."""
    return [
        path(
            route,
            dashboard.wrapped(cleaned(page.as_view(dashboard=dashboard))),
            name=prefix + name,
        )
        for name, (route, page) in PAGES.items()
    ]
