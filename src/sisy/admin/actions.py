"""What a person can do with tasks, one by one or many at once."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from sisy.models import Task, TaskState

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Task]
else:
    ModelAdmin = admin.ModelAdmin

Tasks = QuerySet[Task]


class TaskActions(ModelAdmin):
    """Run now, pause, resume, cancel; each is written to the task's history."""

    actions = ("run_now", "pause", "resume", "cancel_waiting")

    @admin.action(description=_("Run now"), permissions=["run"])
    def run_now(self, request: HttpRequest, queryset: Tasks) -> None:
        """Submit a run of each task; its schedule goes on as if nothing had happened."""
        count = 0
        for task in queryset:
            self.log_change(request, task, f"Asked for run {task.run_now().pk}.")
            count += 1
        done = ngettext("%d run waits for a worker.", "%d runs wait for a worker.", count)
        self._tell(request, done, count)

    @admin.action(description=_("Pause"), permissions=["pause"])
    def pause(self, request: HttpRequest, queryset: Tasks) -> None:
        """Stop planning each task that is active."""
        reason = gettext("Paused by %s.") % request.user
        paused = [task for task in queryset if task.pause(reason)]
        self._log(request, paused, "Paused.")
        done = ngettext("%d task is paused.", "%d tasks are paused.", len(paused))
        self._tell(request, done, len(paused))

    @admin.action(description=_("Resume"), permissions=["pause"])
    def resume(self, request: HttpRequest, queryset: Tasks) -> None:
        """Plan each paused task again, from now on."""
        resumed = [task for task in queryset if task.resume()]
        self._log(request, resumed, "Resumed.")
        broken = [task for task in resumed if task.state == TaskState.BROKEN]
        for task in broken:
            self.message_user(request, f"{task}: {task.state_reason}", messages.ERROR)
        count = len(resumed) - len(broken)
        self._tell(request, ngettext("%d task goes on.", "%d tasks go on.", count), count)

    @admin.action(description=_("Cancel waiting runs"), permissions=["cancel"])
    def cancel_waiting(self, request: HttpRequest, queryset: Tasks) -> None:
        """Call off the runs of each task that no worker has taken yet."""
        reason = gettext("Cancelled by %s.") % request.user
        count = 0
        for task in queryset:
            if cancelled := task.cancel_waiting(reason):
                self.log_change(request, task, f"Cancelled {cancelled} waiting runs.")
                count += cancelled
        done = ngettext("%d waiting run is cancelled.", "%d waiting runs are cancelled.", count)
        self._tell(request, done, count)

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Whether the user may run tasks now."""
        return may(request, "sisy.run_task")

    def has_pause_permission(self, request: HttpRequest) -> bool:
        """Whether the user may pause and resume tasks."""
        return may(request, "sisy.pause_task")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whether the user may cancel waiting runs."""
        return may(request, "sisy.cancel_run")

    def _log(self, request: HttpRequest, tasks: list[Task], message: str) -> None:
        for task in tasks:
            self.log_change(request, task, message)

    def _tell(self, request: HttpRequest, done: str, count: int) -> None:
        level = messages.SUCCESS if count else messages.WARNING
        self.message_user(request, done % count, level)


def may(request: HttpRequest, permission: str) -> bool:
    """Whether the user has a permission."""
    user: Any = request.user
    return bool(user.has_perm(permission))
