"""The pages of an admin, asked only for what a database can be asked for."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.urls import URLPattern

from sisy.dashboard.cleaning import cleaned

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin


class CleanedRequests(ModelAdmin):
    """An admin to each of whose pages `cleaned` applies, also to those of subclasses."""

    @property
    def urls(self) -> list[URLPattern]:
        patterns = self.get_urls()
        for pattern in patterns:
            pattern.callback = cleaned(pattern.callback)
        return patterns
