"""What a person can do with tasks in the admin."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from sisy.admin.actions import Actions, may
from sisy.dashboard.actions import tasks
from sisy.models import Task, TaskState

Tasks = QuerySet[Task]

UNFIT: dict[str, set[str]] = {
    TaskState.ACTIVE: {"resume"},
    TaskState.PAUSED: {"pause"},
    TaskState.BROKEN: {"pause"},
    TaskState.RETIRED: {"pause", "resume"},
}


class TaskActions(Actions):
    """Run now, pause, resume, cancel; each is written to the task's history."""

    actions = ("run_now", "pause", "resume", "cancel_runs", "back_to_code")

    def unfit_actions(self, row: Any) -> set[str]:
        unfit = UNFIT.get(row.state, set())
        return unfit if row.overrides() else unfit | {"back_to_code"}

    @admin.action(description=_("Run now"), permissions=["run"])
    def run_now(self, request: HttpRequest, queryset: Tasks) -> None:
        self.tell(request, tasks.run_now(request.user, queryset))

    @admin.action(description=_("Pause"), permissions=["pause"])
    def pause(self, request: HttpRequest, queryset: Tasks) -> None:
        self.tell(request, tasks.pause(request.user, queryset))

    @admin.action(description=_("Resume"), permissions=["pause"])
    def resume(self, request: HttpRequest, queryset: Tasks) -> None:
        self.tell(request, tasks.resume(request.user, queryset))

    @admin.action(description=_("Cancel runs"), permissions=["cancel"])
    def cancel_runs(self, request: HttpRequest, queryset: Tasks) -> None:
        self.tell(request, tasks.cancel_runs(request.user, queryset))

    @admin.action(description=_("Back to code"), permissions=["change"])
    def back_to_code(self, request: HttpRequest, queryset: Tasks) -> None:
        self.tell(request, tasks.back_to_code(request.user, queryset))

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Whether the user may run tasks now."""
        return may(request, "sisy.run_task")

    def has_backfill_permission(self, request: HttpRequest) -> bool:
        """Whether the user may have the occurrences of a range made good."""
        return may(request, "sisy.backfill_task")

    def has_pause_permission(self, request: HttpRequest) -> bool:
        """Whether the user may pause and resume tasks."""
        return may(request, "sisy.pause_task")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whether the user may cancel runs."""
        return may(request, "sisy.cancel_run")
