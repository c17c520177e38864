"""Tasks in the admin."""

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from sisy import disclosure, display, masking
from sisy.admin.actions import details_of, may
from sisy.admin.backfilling import backfill_view
from sisy.admin.dashboard import AdminDashboard
from sisy.admin.filters import HealthFilter
from sisy.admin.links import run_link
from sisy.admin.recent import counts, recent_runs
from sisy.admin.task_actions import TaskActions
from sisy.admin.task_form import FIELDSETS, SEEN_ONLY, TaskForm
from sisy.admin.upcoming import upcoming, upcoming_of_form
from sisy.dashboard import declared
from sisy.models import Run, RunState, Task
from sisy.queries.processes import missing_processes, paused_queues, troubled_workers

NEWEST = ("pk", "state", "reason", "error_class", "planned_at", "started_at")


@admin.register(Task)
class TaskAdmin(TaskActions):
    """What is called, when, under which policies, and what came of it."""

    form = TaskForm
    fieldsets = FIELDSETS
    readonly_fields = (*SEEN_ONLY, "user_data")
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
        tasks: QuerySet[Task] = super().get_queryset(request)
        return tasks.annotate(**columns)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> type[TaskForm]:
        form = super().get_form(request, *args, **kwargs)
        assert issubclass(form, TaskForm)
        form.may_use_any = request.user.has_perm("sisy.use_any_callable")
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the address fills into the form, without moments that are none.

        Django hands the texts on, and its field for a date and a time fails on them.
        """
        given: dict[str, Any] = super().get_changeform_initial_data(request)
        for name in given.keys() & {"start_running", "end_running"}:
            column: Any = Task._meta.get_field(name)
            try:
                given[name] = column.to_python(given[name])
            except ValidationError:
                given[name] = None
        return given

    def get_fieldsets(self, request: HttpRequest, obj: Task | None = None) -> Any:
        """Show what came of a task only once it is there, and its data to those who may see it."""
        if obj is None:
            return self.fieldsets[:-1]
        # Who may change the data must see all of it in the form; all others see it masked.
        shown = ["_extra_data" if self.has_change_permission(request, obj) else "user_data"]
        shown = shown if may(request, "sisy.view_run_details") else []
        (title, options), *others = self.fieldsets
        seen = [name for name in options["fields"] if name != "_extra_data"] + shown
        return [(title, {**options, "fields": seen}), *others]

    def has_change_permission(self, request: HttpRequest, obj: Task | None = None) -> bool:
        """A task that runs once has been submitted already: nothing of it can be changed."""
        runs_once = obj is not None and not obj.schedule
        return not runs_once and super().has_change_permission(request, obj)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("occurrences/", view(self.occurrences_view), name="sisy_task_occurrences"),
            path("<int:pk>/backfill/", view(self.backfill_view), name="sisy_task_backfill"),
            *AdminDashboard(self.admin_site).under("dashboard/"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """List the tasks, and say so if nobody plans them or carries them out."""
        if request.method == "GET":
            for sentence in (*missing_processes(), *troubled_workers(), *paused_queues()):
                self.message_user(request, sentence, messages.WARNING)
        return super().changelist_view(request, extra_context)

    def links(self, request: HttpRequest, row: Any) -> list[tuple[str, Any]]:
        """A task that repeats can be backfilled."""
        if not row.schedule or not self.has_backfill_permission(request):
            return []
        return [(reverse("admin:sisy_task_backfill", args=[row.pk]), _("Backfill…"))]

    def backfill_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask for a range, show which occurrences would be run, and run them."""
        if not (self.has_view_permission(request) and self.has_backfill_permission(request)):
            raise PermissionDenied
        return backfill_view(self, request, get_object_or_404(self.get_queryset(request), pk=pk))

    def occurrences_view(self, request: HttpRequest) -> HttpResponse:
        """Answer, while somebody fills in the form, when the task would be due."""
        if not (self.has_view_permission(request) or self.has_add_permission(request)):
            raise PermissionDenied
        pk = request.GET.get("task", "")
        known = self.get_queryset(request) if pk.isascii() and pk.isdigit() else None
        stored = known.filter(pk=int(pk)).first() if known is not None and len(pk) < 19 else None
        return HttpResponse(upcoming_of_form(request.GET, display.now(), stored))

    @admin.display(description=_("schedule"), ordering="schedule")
    def timing(self, task: Task) -> str:
        return display.schedule(task, settings.TIME_ZONE)

    @admin.display(description=_("state"), ordering="state")
    def state_now(self, task: Task) -> SafeString:
        return display.state_of(task, in_full=details_of(task))

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
        run = Run(**{name: getattr(task, f"newest_{name}") for name in NEWEST})
        reason = disclosure.reason_of(run, in_full=details_of(task))
        shown = display.state(task.newest_state, words, reason)
        begun = display.moment(task.newest_started_at or task.newest_planned_at, display.now())
        return format_html("{} {}", run_link(task.newest_pk, shown), begun)

    @admin.display(description=_("user data"))
    def user_data(self, task: Task) -> SafeString:
        return format_html("<pre>{}</pre>", masking.as_json(task.userdata))

    @admin.display(description=_("due next"))
    def occurrences(self, task: Task) -> SafeString:
        address = reverse("admin:sisy_task_occurrences")
        shown = upcoming(task, display.now())
        pk = "" if task.pk is None else str(task.pk)  # of a new one, and never localised
        return format_html(
            '<div data-sisy-occurrences="{}" data-sisy-task="{}">{}</div>', address, pk, shown
        )

    @admin.display(description=_("declared"))
    def declared(self, task: Task) -> SafeString | str:
        lines = [declared.in_words(task), *declared.overrides_in_words(task)]
        return format_html_join(mark_safe("<br>"), "{}", ([line] for line in lines if line))

    @admin.display(description=_("reason"))
    def why(self, task: Task) -> str:
        return disclosure.trouble_of(task, in_full=details_of(task)) or display.NOTHING

    @admin.display(description=_("by state"))
    def came_of_it(self, task: Task) -> SafeString:
        return counts(task)

    @admin.display(description=_("latest runs"))
    def recent(self, task: Task) -> SafeString:
        return recent_runs(task, display.now())
