"""The dashboard by itself: ``path("sisy/", include("sisy.urls"))``."""

from sisy.dashboard.mounting import configured
from sisy.dashboard.routes import patterns

app_name = "sisy"
urlpatterns = patterns(configured())
