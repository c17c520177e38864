"""What a person can do with rows: in the list for many at once, on the page of one by buttons."""

from collections.abc import Collection, Iterable
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, Value
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext

from sisy import disclosure
from sisy.admin.cleaning import CleanedRequests
from sisy.admin.lookups import OfferedLookups
from sisy.dashboard.actions.said import Said
from sisy.models.locking import for_write
from sisy.queries.ledger import key_of


class Actions(OfferedLookups, CleanedRequests):
    """Puts those of the list's actions that fit a row on its page, as buttons."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows as they are now: what is done with them depends on it.

        Each knows whether its reader may see the texts of errors; see `details_of`.
        """
        may_see = may(request, f"sisy.{disclosure.PERMISSION}")
        rows: QuerySet[Any] = for_write(super().get_queryset(request))
        known: QuerySet[Any] = rows.annotate(sisy_reader_sees_details=Value(may_see))
        return known

    def unfit_actions(self, row: Any) -> Collection[str]:
        """Return the names of the actions that would do nothing to ``row``."""
        return ()

    def links(self, request: HttpRequest, row: Any) -> list[tuple[str, Any]]:
        """Return the addresses and words of pages that ask for more before they do something."""
        return []

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.action_view)
        name = f"sisy_{self.opts.model_name}_action"
        return [path("<int:pk>/do/<str:name>/", view, name=name), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show a row, with buttons for what the user may do with it."""
        row = self.get_object(request, object_id)
        context = {**(extra_context or {}), "sisy_buttons": [], "sisy_links": []}
        if row is not None:
            context["sisy_buttons"] = self._buttons(request, row)
            context["sisy_links"] = self.links(request, row)
        return super().change_view(request, object_id, form_url, context)

    def action_view(self, request: HttpRequest, pk: int, name: str) -> HttpResponse:
        """Carry out an action for one row, and show it again."""
        action = self._own_actions(request).get(name)
        may_look = self.has_view_permission(request)
        if request.method != "POST" or action is None or not may_look:
            raise PermissionDenied
        rows = self.get_queryset(request).filter(pk=pk)
        if not rows.exists():
            return self._refused(request, reverse(f"admin:sisy_{self.opts.model_name}_changelist"))
        action(request, rows)
        return HttpResponseRedirect(
            reverse(f"admin:sisy_{self.opts.model_name}_change", args=[pk])
        )

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *args: Any, **options: Any
    ) -> Any:
        """Carry out an action for the rows that are ticked, if any of them is there."""
        ticked = [key_of(text) for text in request.POST.getlist(ACTION_CHECKBOX_NAME)]
        if ticked and (None in ticked or not queryset.filter(pk__in=ticked).exists()):
            return self._refused(request, request.get_full_path())
        return super().response_action(request, queryset, *args, **options)

    def _refused(self, request: HttpRequest, address: str) -> HttpResponse:
        words = gettext("There is no such %s (any more). Nothing was changed.")
        self.message_user(request, words % self.opts.verbose_name, messages.ERROR)
        return HttpResponseRedirect(address)

    def _buttons(self, request: HttpRequest, row: Any) -> list[tuple[str, Any]]:
        unfit = self.unfit_actions(row)
        own = self._own_actions(request)
        fitting = {name: action for name, action in own.items() if name not in unfit}
        return [
            (
                reverse(f"admin:sisy_{self.opts.model_name}_action", args=[row.pk, name]),
                action.short_description,
            )
            for name, action in fitting.items()
        ]

    def _own_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Return those of ``actions`` that the user may carry out, by their names."""
        allowed = self.get_actions(request)
        names = [name for name in self.actions or () if name in allowed]
        return {str(name): getattr(self, str(name)) for name in names}

    def tell(self, request: HttpRequest, said: Iterable[Said]) -> None:
        """Carry out an action, and show what it says."""
        for one in said:
            self.message_user(request, one.words, one.level)


def details_of(row: Any) -> bool:
    """Whether the reader of a row of an admin's query set may see the texts of errors."""
    return bool(getattr(row, "sisy_reader_sees_details", False))


def may(request: HttpRequest, permission: str) -> bool:
    """Whether the user has a permission."""
    user: Any = request.user
    return bool(user.has_perm(permission))
