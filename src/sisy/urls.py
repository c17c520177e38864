"""The dashboard by itself: ``path("sisy/", include("sisy.urls"))``."""

from sisy.dashboard.mounting import configured

app_name = "sisy"
urlpatterns = configured().patterns()
