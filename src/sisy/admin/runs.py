"""Runs in the admin: search, filter, cancel and retry them."""

from functools import cached_property
from typing import cast

from django.contrib import admin
from django.contrib.admin import ChoicesFieldListFilter, DateFieldListFilter, SimpleListFilter
from django.core.paginator import Paginator
from django.db import router
from django.db.models import CharField, F, QuerySet, Value
from django.db.models.functions import Cast, Concat
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext_lazy as _

from sisy.admin.model_admin import ReadOnly, may, moment_in
from sisy.dashboard.actions import runs
from sisy.models import Run, RunState, Task
from sisy.models.run import RunQuerySet
from sisy.reports import by_state, disclosure, formatting
from sisy.reports.queue_names import queues_of
from sisy.store.reports import KEY_SLACK, key_at

MAX_COUNTED = 10_000  # rows of a list

PROCESS_NAME = Concat(
    F("process__role"),
    Value(" "),
    Cast("process__pid", CharField()),
    Value("@"),
    F("process__host"),
    output_field=CharField(),
)


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """A paginator that counts at most 10,000 rows. A filter or a search finds older ones."""

    # Counting a long ledger takes longer than showing a page of it.
    @cached_property
    def count(self) -> int:
        """The number of rows on all pages."""
        rows = self.object_list
        return rows.order_by()[:MAX_COUNTED].count() if isinstance(rows, QuerySet) else len(rows)


class QueueFilter(SimpleListFilter):
    """A filter by queue, which offers the queues of tasks."""

    title = _("queue")
    parameter_name = "queue"

    # Reading the queues of all runs takes longer than showing the page.
    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        tasks = Task.objects.using(router.db_for_write(Task))
        return [(name, name) for name in queues_of(tasks)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        return queryset.filter(queue=self.value()) if self.value() else queryset


class StateFilter(ChoicesFieldListFilter):
    """A filter by state. For any state but succeeded, it finds the newest 10,000 runs.

    That is as many as the list counts.
    """

    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        found = cast("QuerySet[Run]", super().queryset(request, queryset))
        chosen = self.used_parameters.get(self.lookup_kwarg)
        states = chosen if isinstance(chosen, list) else [chosen] if chosen else []
        for state in states:
            if state in RunState.values and state != RunState.SUCCEEDED:
                keys = by_state.keys_of(by_state.entries(found.db, state), MAX_COUNTED)
                found = found.filter(pk__in=keys)
        return found


class PlannedFilter(DateFieldListFilter):
    """A filter by the time when runs were planned."""

    # No index contains this time, but the keys of runs grow with it. Without a first key, a filter
    # that few runs match would read the whole ledger.
    def queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> QuerySet[Run]:
        found = cast("QuerySet[Run]", super().queryset(request, queryset))
        chosen = self.used_parameters.get(self.lookup_kwarg_since)
        since = chosen[-1] if isinstance(chosen, list) else chosen
        moment = parse_datetime(str(since)) if since else None
        if moment is None:
            return found
        if timezone.is_naive(moment):
            moment = timezone.make_aware(moment)
        return found.filter(pk__gte=key_at(found.db, moment - KEY_SLACK))


@admin.register(Run)
class RunAdmin(ReadOnly):
    """The list of runs. The dashboard shows the details of each."""

    dashboard_list, dashboard_page = "runs", "run"
    reason_of = staticmethod(disclosure.reason_of)
    list_display = ("__str__", "state_now", "due", "count", "attempt", "short_reason")
    # Sorting a long ledger takes longer than showing a page of it.
    sortable_by = ()
    list_filter = (
        ("state", StateFilter),
        "origin",
        QueueFilter,
        ("planned_at", PlannedFilter),
    )
    paginator = CappedPaginator
    search_fields = ("label", "reason", "process_name")
    actions = ("cancel", "cancel_force", "retry")
    fields = readonly_fields = (
        *(
            "label",
            "task",
            "state_now",
            "full_reason",
            "origin",
            "queue",
            "attempt",
            "worker",
        ),
        *("due", "planned", "started", "finished"),
    )

    planned = moment_in("planned_at", _("planned"))
    started = moment_in("started_at", _("started"))
    finished = moment_in("finished_at", _("finished"))

    @admin.display(description=_("worker"))
    def worker(self, run: Run) -> str:
        return run.worker_name

    @admin.display(description=_("due"), ordering="due_at")
    def due(self, run: Run) -> str:
        return formatting.moment(run.moment, formatting.now())

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        # A separate query for the task could read from a replica.
        return super().get_queryset(request).select_related("task", "process")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Run], search_term: str
    ) -> tuple[QuerySet[Run], bool]:
        """Also search the names of processes, as `Process.__str__` writes them."""
        if search_term:
            queryset = queryset.annotate(process_name=PROCESS_NAME)
        return super().get_search_results(request, queryset, search_term)

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Search in reasons only for users who may read them in full."""
        if may(request, f"sisy.{disclosure.PERMISSION}"):
            return self.search_fields
        return tuple(name for name in self.search_fields if name != "reason")

    @admin.action(description=_("Cancel"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: RunQuerySet) -> None:
        self.show_results(request, runs.cancel(request.user, queryset))

    @admin.action(
        description=_("Force cancel (kills runs in a process pool)"), permissions=["cancel"]
    )
    def cancel_force(self, request: HttpRequest, queryset: RunQuerySet) -> None:
        self.show_results(request, runs.cancel_force(request.user, queryset))

    @admin.action(description=_("Retry"), permissions=["run"])
    def retry(self, request: HttpRequest, queryset: RunQuerySet) -> None:
        self.show_results(request, runs.retry(request.user, queryset))

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return may(request, "sisy.cancel_run")

    def has_run_permission(self, request: HttpRequest) -> bool:
        return may(request, "sisy.run_task")
