"""The page of all alerts, open and closed, newest first."""

from collections.abc import Collection, Sequence, Set
from dataclasses import replace
from typing import Any

from django.db.models import Model
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.page import BEAT, Page, Part
from sisy.dashboard.parameters import a_key, of_filter
from sisy.models import Alert, Run, Task
from sisy.reports.alerts import seen_now
from sisy.reports.alerts.history import KINDS, AlertFilter, AlertRow, page_of_alerts, rows_of
from sisy.reports.alerts.recorded import listed_first
from sisy.reports.ledger import key_of

MAX_AFFECTED_SHOWN = 50  # closed alerts that share a row


class AlertsPage(Page):
    """Lists open and closed alerts, with who or what closed them, when and why."""

    name = "alerts"
    tab = "overview"
    title = _("Alerts")
    sheets = ("sisy/overview.css",)
    asks = {**of_filter(AlertFilter), "task": a_key, "before": a_key}

    def trail(self, page_request: PageRequest) -> list[tuple[str, Any]]:
        return [(page_request.address("overview"), gettext("Overview"))]

    def context(self, page_request: PageRequest) -> dict[str, Any]:
        filters = AlertFilter.of(page_request.asked)
        tasks = Task.objects.using(page_request.using)
        return {
            "filters": filters,
            "task": tasks.filter(pk=key_of(filters.task) or 0).first(),
            "without_task": replace(filters, task="").query(),
            "states": [("open", _("open")), ("closed", _("closed"))],
            "kinds": [(kind.value, kind.label) for kind in KINDS],
        }


def build_list(page_request: PageRequest) -> dict[str, Any]:
    using, now = page_request.using, page_request.now
    filters = AlertFilter.of(page_request.asked)
    before = key_of(page_request.asked.get("before", ""))
    found = page_of_alerts(using, filters, before)
    seen = seen_now(using, found.alerts, now, in_full=page_request.sees_details)
    rows = rows_of(found.alerts, seen)
    older = found.next_before
    tasks = _existing(using, Task, [one.task_id for one in found.alerts])
    may_handle = page_request.may("handle_alert")
    on_overview = listed_first(using) if may_handle and seen else set()
    return {
        "rows": [
            (
                row,
                row.lead.is_muted(now),
                _affected(row),
                _buttons_of(page_request, row.lead, on_overview, tasks) if may_handle else "",
            )
            for row in rows
        ],
        "tasks": tasks,
        "runs": _existing(using, Run, _runs_in(rows)),
        "here": page_request.here,
        "may_handle": may_handle,
        "is_filtered": not filters.is_anything,
        "is_cut_short": found.is_cut_short,
        "newest": f"?{filters.query()}" if before is not None else "",
        "older": f"?{filters.query(before=str(older))}" if older is not None else "",
    }


def _buttons_of(
    page_request: PageRequest, alert: Alert, on_overview: Set[int], tasks: Set[int]
) -> str:
    """Return the address of the row with the buttons of an open alert; empty if there is none.

    Args:
        on_overview: the keys of the alerts that the overview lists. It only counts older ones.
        tasks: the keys of the tasks that exist.
    """
    anchor = f"#record-{alert.pk}"
    if not alert.is_open:
        return ""
    if alert.pk in on_overview:
        return page_request.address("overview") + anchor
    if alert.task_id in tasks:
        return page_request.address("task", alert.task_id) + anchor
    return ""


def _affected(row: AlertRow) -> Sequence[Alert]:
    """Return the alerts that a row lists; none for a row of one alert."""
    return row.alerts[:MAX_AFFECTED_SHOWN] if len(row.alerts) > 1 else ()


def _runs_in(rows: Sequence[AlertRow]) -> list[int | None]:
    """Return the keys of the runs that rows name."""
    return [key for row in rows for key in (row.run, *(one.run_id for one in _affected(row)))]


def _existing(using: str, model: type[Model], keys: Collection[int | None]) -> set[int]:
    """Return those of some keys whose rows still exist: alerts may be kept for longer."""
    wanted = {key for key in keys if key is not None}
    found = model._default_manager.using(using).filter(pk__in=wanted)
    return set(found.order_by().values_list("pk", flat=True))


AlertsPage.parts = (Part(name="list", build=build_list, stale_on=(BEAT,)),)
