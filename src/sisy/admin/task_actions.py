"""What a person can do with tasks."""

from typing import Any

from django.contrib import admin, messages
from django.db import router
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from sisy.admin.actions import Actions, may
from sisy.admin.cancelling import told
from sisy.models import Run, Task, TaskState

Tasks = QuerySet[Task]

UNFIT: dict[str, set[str]] = {
    TaskState.ACTIVE: {"resume"},
    TaskState.PAUSED: {"pause"},
    TaskState.BROKEN: {"pause", "resume"},
    TaskState.RETIRED: {"pause", "resume"},
}


class TaskActions(Actions):
    """Run now, pause, resume, cancel; each is written to the task's history."""

    actions = ("run_now", "pause", "resume", "cancel_runs")

    def unfit_actions(self, row: Any) -> set[str]:
        return UNFIT.get(row.state, set())

    @admin.action(description=_("Run now"), permissions=["run"])
    def run_now(self, request: HttpRequest, queryset: Tasks) -> None:
        """Submit a run of each task; its schedule goes on as if nothing had happened."""
        count = 0
        for task in queryset:
            self.log_change(request, task, f"Asked for run {task.run_now().pk}.")
            count += 1
        done = ngettext("%d run waits for a worker.", "%d runs wait for a worker.", count)
        self._tell(request, done % count, count)

    @admin.action(description=_("Pause"), permissions=["pause"])
    def pause(self, request: HttpRequest, queryset: Tasks) -> None:
        """Stop planning each task that is active."""
        reason = gettext("Paused by %s.") % request.user
        paused = [task for task in queryset if task.pause(reason)]
        self._log(request, paused, "Paused.")
        count = len(paused)
        self._tell(
            request, ngettext("%d task is paused.", "%d tasks are paused.", count) % count, count
        )

    @admin.action(description=_("Resume"), permissions=["pause"])
    def resume(self, request: HttpRequest, queryset: Tasks) -> None:
        """Plan each paused task again, from now on."""
        resumed = [task for task in queryset if task.resume()]
        self._log(request, resumed, "Resumed.")
        broken = [task for task in resumed if task.state == TaskState.BROKEN]
        for task in broken:
            self.message_user(request, f"{task}: {task.state_reason}", messages.ERROR)
        count = len(resumed) - len(broken)
        self._tell(request, ngettext("%d task goes on.", "%d tasks go on.", count) % count, count)

    @admin.action(description=_("Cancel runs"), permissions=["cancel"])
    def cancel_runs(self, request: HttpRequest, queryset: Tasks) -> None:
        """Call off the runs of each task that wait, and ask those that go on to end."""
        reason = gettext("Cancelled by %s.") % request.user
        tasks, count = list(queryset), 0
        for task in tasks:
            if cancelled := task.cancel_runs(reason):
                self.log_change(request, task, f"Cancelled {cancelled} runs.")
                count += cancelled
        runs = Run.objects.using(router.db_for_write(Run)).filter(task__in=tasks)
        self._tell(request, told(count, runs), count)

    def has_run_permission(self, request: HttpRequest) -> bool:
        """Whether the user may run tasks now, and backfill them."""
        return may(request, "sisy.run_task")

    def has_pause_permission(self, request: HttpRequest) -> bool:
        """Whether the user may pause and resume tasks."""
        return may(request, "sisy.pause_task")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whether the user may cancel runs."""
        return may(request, "sisy.cancel_run")

    def _log(self, request: HttpRequest, tasks: list[Task], message: str) -> None:
        for task in tasks:
            self.log_change(request, task, message)
