"""Tasks in the admin."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from sisy.admin import display
from sisy.admin.actions import TaskActions
from sisy.admin.filters import HealthFilter
from sisy.admin.processes import missing_processes
from sisy.admin.recent import recent_runs, run_link
from sisy.admin.task_form import FIELDSETS, SEEN_ONLY, TaskForm
from sisy.admin.upcoming import upcoming, upcoming_of_form
from sisy.models import Run, RunState, Task, TaskState

NEWEST = ("pk", "state", "reason", "planned_at", "started_at")
UNFIT_ACTIONS: dict[str, set[str]] = {
    TaskState.ACTIVE: {"resume"},
    TaskState.PAUSED: {"pause"},
    TaskState.BROKEN: {"pause", "resume"},
    TaskState.RETIRED: {"pause", "resume"},
}


@admin.register(Task)
class TaskAdmin(TaskActions):
    """What is called, when, under which policies, and what came of it."""

    form = TaskForm
    fieldsets = FIELDSETS
    readonly_fields = SEEN_ONLY
    list_display = ("label", "timing", "state_now", "next_moment", "newest")
    list_filter = (HealthFilter, "state", "queue", "overlap")
    search_fields = ("label", "target_path")
    list_per_page = 50
    show_full_result_count = False

    class Media:
        css = {"all": ("sisy/admin.css",)}
        js = ("sisy/task_form.js",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        newest = Run.objects.filter(task=OuterRef("pk")).order_by("-pk")
        columns = {f"newest_{name}": Subquery(newest.values(name)[:1]) for name in NEWEST}
        return super().get_queryset(request).annotate(**columns)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> type[TaskForm]:
        form = super().get_form(request, *args, **kwargs)
        assert issubclass(form, TaskForm)
        form.may_use_any = request.user.has_perm("sisy.use_any_callable")
        return form

    def get_fieldsets(self, request: HttpRequest, obj: Task | None = None) -> Any:
        """Show what came of a task only once it is there."""
        return self.fieldsets if obj else self.fieldsets[:-1]

    def has_change_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:
        """A task that runs once has been submitted already: nothing of it can be changed."""
        runs_once = obj is not None and not obj.schedule
        return not runs_once and super().has_change_permission(request, obj)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("occurrences/", view(self.occurrences_view), name="sisy_task_occurrences"),
            path("<int:pk>/do/<str:name>/", view(self.action_view), name="sisy_task_action"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """List the tasks, and say so if nobody is there to plan them or to carry them out."""
        if request.method == "GET":
            for sentence in missing_processes():
                self.message_user(request, sentence, messages.WARNING)
        return super().changelist_view(request, extra_context)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show a task, with buttons for what the user may do with it."""
        task = self.get_object(request, object_id)
        unfit = UNFIT_ACTIONS.get(task.state, set()) if task else set()
        own = self._own_actions(request)
        buttons = [
            (name, action.short_description) for name, action in own.items() if name not in unfit
        ]
        context = {**(extra_context or {}), "sisy_buttons": buttons}
        return super().change_view(request, object_id, form_url, context)

    def action_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Carry out an action for one task, and show it again."""
        action = self._own_actions(request).get(name)
        may_look = self.has_view_permission(request)
        if request.method != "POST" or action is None or not may_look:
            raise PermissionDenied
        action(request, Task.objects.filter(pk=pk))
        return HttpResponseRedirect(reverse("admin:sisy_task_change", args=[pk]))

    def occurrences_view(self, request: HttpRequest) -> HttpResponse:
        """Answer, while somebody fills in the form, when the task would be due."""
        if not (self.has_view_permission(request) or self.has_add_permission(request)):
            raise PermissionDenied
        return HttpResponse(upcoming_of_form(request.GET, display.now()))

    def _own_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return those of `TaskActions` that the user may carry out, by their names."""
        allowed = self.get_actions(request)
        return {name: getattr(self, name) for name in self.actions if name in allowed}

    @admin.display(description=_("schedule"), ordering="schedule")
    def timing(self, task: Task) -> str:
        return display.schedule(task, settings.TIME_ZONE)

    @admin.display(description=_("state"), ordering="state")
    def state_now(self, task: Task) -> SafeString:
        return display.state_of(task)

    @admin.display(description=_("next run"), ordering="next_run")
    def next_moment(self, task: Task) -> str:
        return display.moment(task.next_run, display.now())

    @admin.display(description=_("last run"), ordering="last_run")
    def last_moment(self, task: Task) -> str:
        return display.moment(task.last_run, display.now())

    @admin.display(description=_("latest run"))
    def newest(self, task: Any) -> str:
        if task.newest_pk is None:
            return display.NOTHING
        words = str(dict(RunState.choices).get(task.newest_state, task.newest_state))
        shown = display.state(task.newest_state, words, task.newest_reason)
        begun = display.moment(task.newest_started_at or task.newest_planned_at, display.now())
        return format_html("{} {}", run_link(task.newest_pk, shown), begun)

    @admin.display(description=_("due next"))
    def occurrences(self, task: Task) -> SafeString:
        address = reverse("admin:sisy_task_occurrences")
        shown = upcoming(task, display.now())
        return format_html('<div data-sisy-occurrences="{}">{}</div>', address, shown)

    @admin.display(description=_("reason"))
    def why(self, task: Task) -> str:
        return task.state_reason or task.target_error or display.NOTHING

    @admin.display(description=_("latest runs"))
    def recent(self, task: Task) -> SafeString:
        return recent_runs(task, display.now())
