"""The dashboard by itself: ``path("sisy/", include("sisy.urls"))``."""

from sisy.dashboard import Dashboard

app_name = "sisy"
urlpatterns = Dashboard().patterns()
