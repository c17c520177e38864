"""The ledger in the admin: to read, and to call off what waits."""

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import router
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from sisy.admin import display
from sisy.admin.actions import may
from sisy.admin.recent import run_link
from sisy.models import Run

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Run]
else:
    ModelAdmin = admin.ModelAdmin

WHAT = ("task_link", "target_path", "target_pk", "origin", "queue", "priority", "user_data")
WHEN = ("due", "planned", "ready", "started", "finished", "late", "took")
HOW = ("state_now", "reason", "attempt", "times_lost", "worker", "blocker")
CAME = ("returned", "traceback")


@admin.register(Run)
class RunAdmin(ModelAdmin):
    """What happened to every occurrence. Nobody adds, changes or deletes rows by hand."""

    actions = ("cancel_waiting",)
    list_display = ("__str__", "state_now", "due", "late", "took", "attempt", "short_reason")
    list_filter = ("state", "origin", "queue", "planned_at")
    list_select_related = ("task",)
    list_per_page = 50
    search_fields = ("label", "reason", "worker")
    search_help_text = _("By label, reason or worker.")
    show_full_result_count = False
    readonly_fields = (*WHAT, *WHEN, *HOW, *CAME)
    fieldsets = (
        (None, {"fields": HOW}),
        (_("What it called"), {"fields": WHAT}),
        (_("When"), {"fields": WHEN}),
        (_("What came of it"), {"fields": CAME}),
    )

    class Media:
        css = {"all": ("sisy/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        """Whether the user may cancel waiting runs."""
        return may(request, "sisy.cancel_run")

    @admin.action(description=_("Cancel those that wait"), permissions=["cancel"])
    def cancel_waiting(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        """Call off the chosen runs that no worker has taken yet."""
        chosen = list(queryset.values_list("pk", flat=True))
        runs = Run.objects.using(router.db_for_write(Run)).filter(pk__in=chosen)
        count = runs.cancel_waiting(gettext("Cancelled by %s.") % request.user, display.now())
        done = ngettext("%d waiting run is cancelled.", "%d waiting runs are cancelled.", count)
        level = messages.SUCCESS if count else messages.WARNING
        self.message_user(request, done % count, level)

    @admin.display(description=_("state"), ordering="state")
    def state_now(self, run: Run) -> SafeString:
        return display.state(run.state, run.get_state_display())

    @admin.display(description=_("due"), ordering="due_at")
    def due(self, run: Run) -> str:
        """Return the due moment; of a gap, its first and last ones and how many they are."""
        first = display.moment(run.due_at, display.now())
        if run.due_until is None:
            return first
        last = display.moment(run.due_until, display.now())
        return format_html("{}<br>… {}<br>{}", first, last, gettext("%d in all") % run.count)

    @admin.display(description=_("planned"), ordering="planned_at")
    def planned(self, run: Run) -> str:
        return display.instant(run.planned_at)

    @admin.display(description=_("ready"))
    def ready(self, run: Run) -> str:
        return display.instant(run.ready_at)

    @admin.display(description=_("started"))
    def started(self, run: Run) -> str:
        return display.instant(run.started_at)

    @admin.display(description=_("finished"))
    def finished(self, run: Run) -> str:
        return display.instant(run.finished_at)

    @admin.display(description=_("late"))
    def late(self, run: Run) -> str:
        return display.span(run.lateness)

    @admin.display(description=_("took"))
    def took(self, run: Run) -> str:
        return display.span(run.duration)

    @admin.display(description=_("reason"))
    def short_reason(self, run: Run) -> str:
        return Truncator(run.reason).chars(80)

    @admin.display(description=_("task"))
    def task_link(self, run: Run) -> str:
        if run.task_id is None:
            return gettext("%s (deleted)") % run.label
        address = reverse("admin:sisy_task_change", args=[run.task_id])
        return format_html('<a href="{}">{}</a>', address, run.label)

    @admin.display(description=_("blocked by"))
    def blocker(self, run: Run) -> str:
        if run.blocked_by_id is None:
            return display.NOTHING
        return run_link(run.blocked_by_id, str(run.blocked_by_id))

    @admin.display(description=_("user data"))
    def user_data(self, run: Run) -> SafeString:
        return _as_json(run.payload)

    @admin.display(description=_("return value"))
    def returned(self, run: Run) -> SafeString:
        return _as_json(run.result)

    @admin.display(description=_("error"))
    def traceback(self, run: Run) -> str:
        return format_html("<pre>{}</pre>", run.error) if run.error else display.NOTHING


def _as_json(value: Any) -> SafeString:
    return format_html("<pre>{}</pre>", json.dumps(value, indent=2, ensure_ascii=False))
