"""The URLs of the dashboard and of monitoring: ``path("sisy/", include("sisy.urls"))``."""

from django.http import HttpRequest

from sisy.dashboard import routes as pages
from sisy.dashboard.access import LOOK, configured
from sisy.monitoring import routes as monitoring

app_name = "sisy"


def _may_look(request: HttpRequest) -> bool:
    # A site without users has no middleware that sets one.
    user = getattr(request, "user", None)
    return user is not None and _dashboard.may(user, LOOK)


_dashboard = configured()
urlpatterns = [*monitoring.patterns(_may_look), *pages.patterns(_dashboard)]
