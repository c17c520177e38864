"""The URL patterns of the views of monitoring."""

from django.urls import URLPattern, path

from sisy.monitoring.access import May, guarded
from sisy.monitoring.health import health_view
from sisy.monitoring.metrics import metrics_view


def patterns(may: May) -> list[URLPattern]:
    """Return a pattern for each view.

    Args:
        may: who has access without the token.
    """
    views = {"health": health_view, "metrics": metrics_view}
    return [path(name, guarded(view, may), name=name) for name, view in views.items()]
