"""The URLs of the dashboard: ``path("sisy/", include("sisy.urls"))``."""

from sisy.dashboard.routes import patterns
from sisy.dashboard.site import configured

app_name = "sisy"
urlpatterns = patterns(configured())
