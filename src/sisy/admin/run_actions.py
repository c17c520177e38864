"""What a person can do with runs in the admin."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from sisy.admin.actions import Actions, may
from sisy.dashboard.actions import runs
from sisy.models.run_queries import RunQuerySet


class RunActions(Actions):
    """Cancel, cancel by force, retry; each is written to the run's history."""

    actions = ("cancel", "cancel_by_force", "retry")

    def unfit_actions(self, row: Any) -> set[str]:
        return runs.unfit(row)

    @admin.action(description=_("Cancel"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: RunQuerySet) -> None:
        self.tell(request, runs.cancel(request.user, queryset))

    @admin.action(
        description=_("Cancel by force (kills in a pool of processes)"),
        permissions=["cancel"],
    )
    def cancel_by_force(self, request: HttpRequest, queryset: RunQuerySet) -> None:
        self.tell(request, runs.cancel_by_force(request.user, queryset))

    @admin.action(description=_("Retry"), permissions=["run"])
    def retry(self, request: HttpRequest, queryset: RunQuerySet) -> None:
        self.tell(request, runs.retry(request.user, queryset))

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whether the user may cancel runs."""
        return may(request, "sisy.cancel_run")

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Whether the user may retry runs."""
        return may(request, "sisy.run_task")
