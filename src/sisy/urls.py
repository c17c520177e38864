"""The URLs of the dashboard: ``path("sisy/", include("sisy.urls"))``."""

from sisy.dashboard.access import configured
from sisy.dashboard.routes import patterns

app_name = "sisy"
urlpatterns = patterns(configured())
