"""Filters of the lists: tasks that need a person, runs of a queue or of a task."""

from collections.abc import Iterator
from typing import Any

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from sisy.models import Process, Queue, Run, Task, TaskState
from sisy.queries.ledger import key_of

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
        if self.value() == "well":
            return queryset.exclude(TROUBLE)
        if self.value():
            raise IncorrectLookupParameters
        return queryset


class QueueFilter(SimpleListFilter):
    """Runs of a queue; offers those that workers serve, in which runs wait, or that were paused.

    To look which queues the whole ledger names would take longer than to show the page.
    """

    title = _("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        using = model_admin.get_queryset(request).db
        names = set(Queue.objects.using(using).values_list("name", flat=True))
        live = Run.objects.using(using).live().order_by()
        names |= set(live.values_list("queue", flat=True).distinct())
        for queues in Process.objects.using(using).values_list("queues", flat=True):
            names |= set(queues)
        return [(name, name) for name in sorted(names | {self.value() or "default"})]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        return queryset.filter(queue=self.value()) if self.value() else queryset


class TaskFilter(SimpleListFilter):
    """Runs of the task to whose page a link belongs; it offers none by itself.

    Their number has no bound, so that to list them all would take longer than to show the page.
    """

    title = _("task")
    parameter_name = "task__id__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        if not (value := self.value()):
            return []  # hides the filter
        # Something must be returned for any value: without choices Django ignores the filter.
        if (key := key_of(value)) is None:
            return [(value, value)]
        tasks = Task.objects.using(model_admin.get_queryset(request).db).filter(pk=key)
        label = tasks.values_list("label", flat=True).first()
        return [(str(key), label or _("%s (deleted)") % key)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        if not (value := self.value()):
            return queryset
        if (key := key_of(value)) is None:
            raise IncorrectLookupParameters
        return queryset.filter(task=key)
