from django.contrib import admin
from django.urls import include, path

from shop import views

urlpatterns = [
    path("", include("sisy.urls")),
    path("reminders/", views.home, name="home"),
    path("remind/", views.remind, name="remind"),
    path("mails/", views.mails, name="mails"),
    path("health/", views.health, name="health"),
    path("admin/", admin.site.urls),
]
