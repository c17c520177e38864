"""The common base of the admins of tasks, runs and queues."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet, Value
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import NoReverseMatch, URLPattern
from django.utils.text import Truncator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sisy.admin.lookups import OfferedLookups
from sisy.dashboard.access import LOOK
from sisy.dashboard.actions.result import Result
from sisy.dashboard.cleaning import cleaned
from sisy.dashboard.in_admin import AdminDashboard
from sisy.reports import disclosure, formatting
from sisy.reports.ledger import key_of
from sisy.runtime.compat import for_write

MAX_REASON_IN_LIST = 80  # characters of a reason


class SisyAdmin(OfferedLookups):
    """Django's list and form, with links to the dashboard.

    Attributes:
        dashboard_list: the dashboard's page about all rows.
        dashboard_page: the dashboard's page about one row; empty if that is the same page.
        reason_of: returns as much of a row's reason as its reader may see.
    """

    dashboard_list: ClassVar[str]
    dashboard_page: ClassVar[str] = ""
    reason_of: ClassVar[Callable[..., str]]
    list_per_page = 50
    show_full_result_count = False

    class Media:
        css = {"all": ("sisy/admin.css",)}

    @property
    def urls(self) -> list[URLPattern]:
        patterns = self.get_urls()
        # PostgreSQL rejects a NUL in any text, so none may reach a view, a subclass's included.
        for pattern in patterns:
            pattern.callback = cleaned(pattern.callback)
        return patterns

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows of the primary database."""
        # A replica may lag behind, and people act on these rows.
        rows: QuerySet[Any] = for_write(super().get_queryset(request))
        # The methods that show a column get a row, but no request.
        may_see = may(request, f"sisy.{disclosure.PERMISSION}")
        known: QuerySet[Any] = rows.annotate(sisy_reader_sees_details=Value(may_see))
        return known

    def dashboard_address(self, request: HttpRequest, row: Any = None) -> str:
        """Return the URL of the dashboard's page about a row or about all rows.

        Empty if the user may not see it.
        """
        dashboard = AdminDashboard(self.admin_site)
        is_about_row = row is not None and self.dashboard_page
        name, keys = (self.dashboard_page, [row.pk]) if is_about_row else (self.dashboard_list, [])
        try:
            return dashboard.address(name, *keys) if dashboard.may(request.user, LOOK) else ""
        # The dashboard is mounted below the task list, which this admin site may lack.
        except NoReverseMatch:
            return ""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """List the rows, with a link to the dashboard."""
        link = {"sisy_dashboard": self.dashboard_address(request)}
        return super().changelist_view(request, {**link, **(extra_context or {})})

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        """Show a row, with a link to its page in the dashboard."""
        if obj is not None:
            context["sisy_dashboard"] = self.dashboard_address(request, obj)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **options: Any
    ) -> Any:
        """Run an action, unless none of the selected rows exists."""
        selected = [key_of(text) for text in request.POST.getlist(ACTION_CHECKBOX_NAME)]
        if selected and (None in selected or not queryset.filter(pk__in=selected).exists()):
            words = gettext("The selected %s do not exist. Nothing was changed.")
            self.message_user(request, words % self.opts.verbose_name_plural, messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, *args, **options)

    def show_results(self, request: HttpRequest, said: Iterable[Result]) -> None:
        """Run an action, and show its messages."""
        for one in said:
            self.message_user(request, one.words, one.level)

    # Django's own column hides a state that it does not know, such as one of a newer version.
    @admin.display(description=_("state"), ordering="state")
    def state_now(self, row: Any) -> str:
        return str(row.get_state_display())

    @admin.display(description=_("reason"))
    def full_reason(self, row: Any) -> str:
        sees_details = getattr(row, "sisy_reader_sees_details", False)
        return type(self).reason_of(row, in_full=sees_details) or formatting.NOTHING

    @admin.display(description=_("reason"))
    def short_reason(self, row: Any) -> str:
        return Truncator(self.full_reason(row)).chars(MAX_REASON_IN_LIST)


class ReadOnly(SisyAdmin):
    """An admin of rows that cannot be added, changed or deleted by hand."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def moment_in(column: str, words: Any) -> Callable[[Any, Any], str]:
    """Return a method that shows a column in the reader's time zone, even without ``USE_TZ``."""

    @admin.display(description=words, ordering=column)
    def shown(self: Any, row: Any) -> str:
        return formatting.moment(getattr(row, column), formatting.now())

    return shown


def may(request: HttpRequest, permission: str) -> bool:
    """Return whether the user has a permission."""
    user: Any = request.user
    return bool(user.has_perm(permission))
