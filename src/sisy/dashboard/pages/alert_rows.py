"""The rows of alerts, with what people may do: on the overview, a task's page and a run's page."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sisy.dashboard.actions.alerts import MUTE_HOURS
from sisy.dashboard.page_request import PageRequest
from sisy.reports.alerts import Severity
from sisy.reports.alerts.grouping import AlertGroup


def rows_of(page_request: PageRequest, groups: Iterable[AlertGroup], here: str) -> dict[str, Any]:
    """Return the context of the template of alert rows.

    Args:
        here: the address to return to after an action.
    """
    now = page_request.now
    return {
        "groups": [(group, group.muted_until(now), _looks(group, now)) for group in groups],
        "here": here,
        "may_handle": page_request.may("handle_alert"),
        "may_run": page_request.may("run_task"),
        "may_backfill": page_request.may("backfill_task"),
        "mute_hours": [(hours, timedelta(hours=hours)) for hours in MUTE_HOURS],
    }


def _looks(group: AlertGroup, now: datetime) -> str:
    """Return the classes of a group in the style sheet."""
    looks = "bad" if group.severity in (Severity.CRITICAL, Severity.ERROR) else "warn"
    # A delay that will happen again is not a problem now, but it was not handled either.
    is_handled = group.is_handled(now) and group.lead.again_at is None
    return f"{looks} handled" if is_handled else looks
