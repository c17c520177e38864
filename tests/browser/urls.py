from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("sisy/", include("sisy.urls")), path("admin/", admin.site.urls)]
