"""The ledger in the admin: to read, to end what waits or goes on, and to make good what failed."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sisy.admin.actions import may
from sisy.admin.filters import QueueFilter, TaskFilter
from sisy.admin.paginator import CappedPaginator
from sisy.admin.run_actions import RunActions
from sisy.admin.run_columns import RunColumns
from sisy.models import Attempt, Run
from sisy.queries.related import has_returned, retries_of

HOW = (
    "state_now",
    "full_reason",
    "cancel_asked",
    "attempt",
    "times_lost",
    "worker",
    "blocker",
    "retries",
)
WHAT = (
    "task_link",
    "target_path",
    "target_pk",
    "origin",
    "original",
    "queue",
    "engine",
    "priority",
    "user_data",
)
WHEN = ("due", "made_good", "planned", "ready", "handed", "started", "finished", "late", "took")
CAME = ("traceback", "attempts", "returned")

DETAILS = {"user_data", "returned", "traceback", "attempts"}
"""What takes a permission of its own: it may hold what is not for everybody."""

SELDOM: dict[str, Callable[[Run], Any]] = {
    "cancel_asked": lambda run: run.cancel_asked_at,
    "times_lost": lambda run: run.times_lost,
    "blocker": lambda run: run.blocked_by_id,
    "original": lambda run: run.retry_of_id,
    "engine": lambda run: run.engine,
    "handed": lambda run: run.dispatched_at,
    "made_good": lambda run: run.stands_for,
    "traceback": lambda run: run.error,
    "returned": has_returned,
    "retries": lambda run: retries_of(run).exists(),
    "attempts": lambda run: Attempt.before(run).exists(),
}
"""What few runs have, with what tells whether a run has it; the others' pages leave it out."""


@admin.register(Run)
class RunAdmin(RunColumns, RunActions):
    """What happened to every occurrence. Nobody adds, changes or deletes rows by hand."""

    list_display = (
        "__str__",
        "state_now",
        "occurrence",
        "late",
        "took",
        "attempt",
        "short_reason",
    )
    list_filter = ("state", "origin", QueueFilter, "planned_at", TaskFilter)
    list_select_related = ("task",)
    list_per_page = 50
    paginator = CappedPaginator
    search_fields = ("label", "reason", "worker")
    show_full_result_count = False
    readonly_fields = (*HOW, *WHAT, *WHEN, *CAME)
    fieldsets = (
        (None, {"fields": HOW}),
        (_("What it called"), {"fields": WHAT}),
        (_("When"), {"fields": WHEN}),
        (_("What came of it"), {"fields": CAME}),
    )

    class Media:
        css = {"all": ("sisy/admin.css",)}

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Search in reasons for those only who may read them."""
        if may(request, "sisy.view_run_details"):
            return self.search_fields
        return tuple(name for name in self.search_fields if name != "reason")

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """Say in what the reader's words are looked for."""
        found = super().get_changelist_instance(request)
        searched = self.get_search_fields(request)
        columns: list[Any] = [self.opts.get_field(name) for name in searched]
        names = [str(column.verbose_name) for column in columns]
        found.search_help_text = gettext("Searches in: %s.") % ", ".join(names)
        return found

    def get_fieldsets(self, request: HttpRequest, obj: Run | None = None) -> Any:
        """Leave out what this run has not, and what its reader may not see."""
        if obj is None:
            return self.fieldsets
        missing = {name for name, has in SELDOM.items() if not has(obj)}
        if not may(request, "sisy.view_run_details"):
            missing |= DETAILS
        shown = [
            (title, [name for name in options["fields"] if name not in missing])
            for title, options in self.fieldsets
        ]
        return [(title, {"fields": names}) for title, names in shown if names]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Run | None = None) -> bool:
        return False
