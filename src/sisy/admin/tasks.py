"""Tasks in the admin: the list and the form."""

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from sisy.admin.model_admin import SisyAdmin, may, moment_in
from sisy.admin.task_form import FIELDSETS, SEEN_ONLY, TaskForm
from sisy.admin.upcoming import upcoming, upcoming_of_form
from sisy.dashboard.actions import tasks
from sisy.dashboard.in_admin import AdminDashboard
from sisy.models import Task
from sisy.records.authorship import changed_by
from sisy.records.choices import ChangedBy
from sisy.records.task_fields import TASK_FIELDS
from sisy.reports import disclosure, formatting
from sisy.reports.ledger import key_of


@admin.register(Task)
class TaskAdmin(SisyAdmin):
    """The settings of tasks. The dashboard shows their runs."""

    dashboard_list, dashboard_page = "overview", "task"
    reason_of = staticmethod(disclosure.trouble_of)
    form = TaskForm
    fieldsets = FIELDSETS
    readonly_fields = SEEN_ONLY
    list_display = ("label", "timing", "state_now", "next_moment", "short_reason")
    list_filter = ("state", "queue", "overlap")
    search_fields = ("label", "target_path")
    actions = ("pause", "resume", "back_to_code")

    class Media:
        js = ("sisy/task_form.js",)

    next_moment = moment_in("next_run", _("next run"))
    last_moment = moment_in("last_run", _("last run"))

    @admin.action(description=_("Pause"), permissions=["pause"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self.show_results(request, tasks.pause(request.user, queryset))

    @admin.action(description=_("Resume"), permissions=["pause"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self.show_results(request, tasks.resume(request.user, queryset))

    @admin.action(description=_("Reset to code"), permissions=["change"])
    def back_to_code(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self.show_results(request, tasks.back_to_code(request.user, queryset))

    def save_model(self, request: HttpRequest, obj: Task, form: Any, change: bool) -> None:
        with changed_by(ChangedBy.PERSON, request.user):
            super().save_model(request, obj, form, change)

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return may(request, "sisy.pause_task")

    def has_change_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:
        """Return False for a task that runs once: it was already submitted."""
        runs_once = obj is not None and not obj.schedule
        return not runs_once and super().has_change_permission(request, obj)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> type[TaskForm]:
        form = super().get_form(request, *args, **kwargs)
        assert issubclass(form, TaskForm)
        form.may_use_any = may(request, f"sisy.{TASK_FIELDS['target_path'].restricted_without}")
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return the initial values in the URL, without invalid moments."""
        given: dict[str, Any] = super().get_changeform_initial_data(request)
        # Django passes the texts on, and its form field fails on invalid dates and times.
        for name in given.keys() & {"start_running", "end_running"}:
            column: Any = Task._meta.get_field(name)
            try:
                given[name] = column.to_python(given[name])
            except ValidationError:
                given[name] = None
        return given

    def get_fieldsets(self, request: HttpRequest, obj: Task | None = None) -> Any:
        """Show unmasked user data only to users who may both see and change them."""
        if obj is None:
            return self.fieldsets[:-1]
        may_change = self.has_change_permission(request, obj)
        hidden = {
            name
            for name, field in TASK_FIELDS.items()
            if field.hidden_without
            and not (may_change and may(request, f"sisy.{field.hidden_without}"))
        }
        return [
            (
                title,
                {**options, "fields": [each for each in options["fields"] if each not in hidden]},
            )
            for title, options in self.fieldsets
        ]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.occurrences_view)
        return [
            path("occurrences/", view, name="sisy_task_occurrences"),
            *AdminDashboard(self.admin_site).under("dashboard/"),
            *super().get_urls(),
        ]

    def occurrences_view(self, request: HttpRequest) -> HttpResponse:
        """Return the next occurrences while the user fills in the form."""
        if not (self.has_view_permission(request) or self.has_add_permission(request)):
            raise PermissionDenied
        stored = self.get_queryset(request).filter(pk=key_of(request.GET.get("task", ""))).first()
        return HttpResponse(upcoming_of_form(request.GET, formatting.now(), stored))

    @admin.display(description=_("schedule"), ordering="schedule")
    def timing(self, task: Task) -> str:
        return formatting.schedule(task, settings.TIME_ZONE)

    @admin.display(description=_("upcoming"))
    def occurrences(self, task: Task) -> SafeString:
        address = reverse("admin:sisy_task_occurrences", current_app=self.admin_site.name)
        shown = upcoming(task, formatting.now())
        pk = "" if task.pk is None else str(task.pk)  # empty for a new task; never localized
        return format_html(
            '<div data-sisy-occurrences="{}" data-sisy-task="{}">{}</div>', address, pk, shown
        )
