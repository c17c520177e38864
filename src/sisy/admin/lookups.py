"""Lists whose URL accepts only the lookups that their filters offer."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin import FieldListFilter
from django.contrib.admin.utils import get_fields_from_path
from django.contrib.admin.views.main import ERROR_FLAG, ORDER_VAR, PAGE_VAR
from django.contrib.admin.widgets import url_params_from_lookup_dict
from django.db.models import Field, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext

from sisy.reports.filters import MAX_LENGTH

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

BY_DATE = ("year", "month", "day", "gte", "lt")
"""The lookups of the links in ``date_hierarchy``."""

SHAPES = {
    PAGE_VAR: re.compile(r"\d*", re.ASCII),
    ORDER_VAR: re.compile(r"(-?\d+(\.-?\d+)*)?", re.ASCII),
}
"""The valid pages and orders in the URL of a list."""


class OfferedLookups(ModelAdmin):
    """An admin that accepts only the lookups of its filters in a URL."""

    # Django lets everyone who may see a list filter it by any column and lookup, even by columns
    # that the pages hide. The number of rows would then reveal their contents, letter by letter.

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """List the rows, with an error if the URL contains an unknown value."""
        # Django silently ignores an unknown page, order or value of a filter.
        asked = request.GET
        is_misread = any(not SHAPES[name].fullmatch(asked.get(name, "")) for name in SHAPES)
        if request.method == "GET" and (ERROR_FLAG in asked or is_misread):
            refusal = gettext(
                "The URL contains an unknown filter, page or sort order, which was ignored."
            )
            self.message_user(request, refusal, messages.ERROR)
        return super().changelist_view(request, extra_context)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find nothing if the text is longer than any column."""
        # SQLite fails on some texts of that length.
        if len(search_term) > MAX_LENGTH:
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Return whether a filter of the list, or a foreign key's limits, offers ``lookup``."""
        if request is None or self._limits_a_foreign_key(lookup, value):
            return request is not None
        return lookup.removesuffix("__exact") in set(self._offered(request))

    def _offered(self, request: HttpRequest) -> Iterator[str]:
        if self.date_hierarchy:
            yield from (f"{self.date_hierarchy}__{part}" for part in BY_DATE)
        for item in self.get_list_filter(request):
            for name in self._parameters(item, request):
                if name is not None:
                    yield name.removesuffix("__exact")

    def _parameters(self, item: Any, request: HttpRequest) -> list[str | None]:
        """Return the parameters of one item of ``list_filter``, read as Django does."""
        if callable(item):
            if hasattr(item, "parameter_name"):
                return [item.parameter_name]
            return list(item(request, {}, self.model, self).expected_parameters())
        field, create = item if isinstance(item, list | tuple) else (item, FieldListFilter.create)
        path = None
        if not isinstance(field, Field):
            path, field = field, get_fields_from_path(self.model, field)[-1]
        found = create(field, request, {}, self.model, self, field_path=path)
        return list(found.expected_parameters())

    def _limits_a_foreign_key(self, lookup: str, value: str) -> bool:
        """Return whether ``limit_choices_to`` of a foreign key uses this lookup in its popup."""
        for limits in self.model._meta.related_fkey_lookups:
            given = limits() if callable(limits) else limits
            if (lookup, value) in url_params_from_lookup_dict(given).items():
                return True
        return False
