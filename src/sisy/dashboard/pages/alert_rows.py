"""The rows of alerts, with what people may do: on the overview, a task's page and a run's page."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sisy.dashboard.actions.alerts import MUTE_HOURS
from sisy.dashboard.page_request import PageRequest
from sisy.dashboard.pages.missed import MissedPage, missed_address
from sisy.reports.alerts import Severity
from sisy.reports.alerts.alert import Kind
from sisy.reports.alerts.facts import facts_beside, outage_of
from sisy.reports.alerts.group import AlertGroup


def rows_of(
    page_request: PageRequest, groups: Sequence[AlertGroup], *, shows_notes: bool = True
) -> dict[str, Any]:
    """Return the context of the template of alert rows.

    Args:
        shows_notes: whether an alert about one task shows the first line of the task's note.
    """
    now = page_request.now
    facts = facts_beside(page_request.using, groups, now, in_full=page_request.sees_details)
    return {
        "groups": [
            (
                group,
                group.muted_until(now),
                _looks(group, now),
                facts[group.key],
                _missed_address(page_request, group),
                place,
            )
            for group, place in zip(groups, _places(groups), strict=True)
        ],
        "shows_notes": shows_notes,
        "here": page_request.here,
        "may_handle": page_request.may("handle_alert"),
        "may_run": page_request.may("run_task"),
        "may_cancel": page_request.may("cancel_run"),
        "may_backfill": page_request.may("backfill_task"),
        "mute_hours": [(hours, timedelta(hours=hours)) for hours in MUTE_HOURS],
    }


def _places(groups: Sequence[AlertGroup]) -> list[str]:
    """Return the anchor to which the page returns once a person has handled each group.

    Its row moves down or disappears, so that is the next row; after the last one, the one before.
    """
    anchors = [f"at-{group.key}" for group in groups]
    return [*anchors[1:], anchors[-2] if len(anchors) > 1 else "alerts"] if groups else []


def _missed_address(page_request: PageRequest, group: AlertGroup) -> str:
    """Return the address of the page that backfills several tasks; empty for other groups."""
    if group.lead.kind != Kind.MISSED or len(group.alerts) < 2:
        return ""
    # The button needs this permission.
    if not page_request.may("backfill_task"):
        return ""
    outage = outage_of(page_request.using, group)
    if outage is None:
        return page_request.address(MissedPage.name)
    return missed_address(page_request, *outage)


def _looks(group: AlertGroup, now: datetime) -> str:
    """Return the classes of a group in the style sheet."""
    looks = "bad" if group.severity in (Severity.CRITICAL, Severity.ERROR) else "warn"
    # A delay that will happen again is not a problem now, but it was not handled either.
    is_handled = group.is_handled(now) and not group.will_recur
    return f"{looks} handled" if is_handled else looks
