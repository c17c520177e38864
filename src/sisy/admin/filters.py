"""How tasks are narrowed down to those that need a person."""

from collections.abc import Iterator
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from sisy.models import Task, TaskState

TROUBLE = Q(state=TaskState.BROKEN) | ~Q(target_error="")


class HealthFilter(SimpleListFilter):
    """Tasks that cannot be planned, or whose target is gone."""

    title = _("health")
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterator[tuple[str, Any]]:
        yield "trouble", _("needs a person")
        yield "well", _("well")

    def queryset(self, request: HttpRequest, queryset: QuerySet[Task]) -> QuerySet[Task]:
        if self.value() == "trouble":
            return queryset.filter(TROUBLE)
        return queryset.exclude(TROUBLE) if self.value() == "well" else queryset
