"""Alerts as commands show them: in a list, with all facts, and what to do next."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.text import capfirst

from sisy.alerting.advised_commands import missed_command
from sisy.alerting.problem import open_key
from sisy.management.looks import severity
from sisy.management.table import Lines, Look, shown
from sisy.models import Alert
from sisy.records.problems import Kind
from sisy.reports.alerts.facts import Facts
from sisy.reports.alerts.group import AlertGroup
from sisy.reports.alerts.history import rows_of
from sisy.reports.notes import first_line
from sisy.runtime.durations import in_zone

MAX_REFUSALS_NAMED = 5


def state_of(alert: Alert, now: datetime) -> str:
    """Return whether an alert is open, closed, muted or acknowledged, with its look."""
    if not alert.is_open:
        return Look("closed", "good")
    if alert.is_muted(now):
        return Look("muted", "quiet")
    return Look("acked", "warn") if alert.acknowledged_at else Look("open", "bad")


def severity_now(alert: Alert, seen: AlertGroup | None) -> str:
    """Return how severe an alert is now; for ``seen``, see `facts_of`."""
    return str(seen.severity if seen else alert.severity)


def lines_of(
    alerts: Iterable[Alert], seen: Mapping[int, AlertGroup], now: datetime
) -> list[dict[str, Any]]:
    """Return the rows of a list for people. Closed alerts of one problem are one row.

    Args:
        seen: what `facts_of` needs, by the key of each open alert.
    """
    return [
        {
            "id": row.lead.pk,
            "severity": severity(str(row.severity)),
            "problem": str(row.lead.get_kind_display()),
            "what": row.what,
            "since": row.since,
            "state": state_of(row.lead, now),
            "why": f"{capfirst(row.recurred)}. {row.why}" if row.recurred else row.why,
        }
        for row in rows_of(alerts, seen)
    ]


def facts_of(alert: Alert, seen: AlertGroup | None, now: datetime) -> dict[str, Any]:
    """Return what is known about an alert.

    Args:
        seen: what the latest runs say about an open one; None for a closed one, which has the
            words of its opening.
    """
    return {
        "id": alert.pk,
        "kind": alert.kind,
        "severity": severity_now(alert, seen),
        "what": alert.name,
        "state": state_of(alert, now),
        "why": seen.why if seen else alert.why,
        "fix": seen.fix if seen else alert.fix,
        "since": alert.since,
        "lasted": alert.lasted(now),
        "opened": alert.opened_at,
        "reopened": alert.reopened,
        "closed": alert.closed_at,
        "close_reason": alert.close_reason,
        "acknowledged": alert.acknowledged_at,
        "acknowledged_by": alert.acknowledged_by,
        "muted_until": alert.muted_until,
        "muted_by": alert.muted_by,
        "task": alert.task_id,
        "run": seen.lead.run if seen else alert.run_id,
        "queue": alert.queue,
        "notified": alert.notified_at,
    }


def with_recurrence(since: datetime, recurred: str) -> str:
    """Return when a problem began, and how often it recurred since then, if it did."""
    return ", ".join(filter(None, (shown(since), recurred)))


def next_steps(alert: Alert, fix: str, warning: str, now: datetime) -> Iterator[str]:
    """Yield what people can do about an open alert, as sentences with commands.

    Args:
        fix: the fix of the alert; empty if its text names it.
        warning: what to know before a worker starts; see `Facts`.
    """
    if fix:
        yield f"Next: {fix}"
    if alert.kind == Kind.MISSED:
        yield "To see when no heartbeat was running: manage.py sisy_workers list --ended"
    if warning:
        yield warning
    if alert.is_about_queue:
        yield "To see what holds up the queue: manage.py sisy_queues list"
    if alert.acknowledged_at is None:
        yield f"To show that you are handling it: manage.py sisy_alerts ack {alert.pk}"
    else:
        yield f"To undo the acknowledgement: manage.py sisy_alerts unack {alert.pk}"
    if alert.is_muted(now):
        yield f"To unmute it: manage.py sisy_alerts unmute {alert.pk}"


def fix_of(group: AlertGroup, outage: tuple[datetime, datetime] | None = None) -> str:
    """Return what helps against a group of alerts; empty if its text says it, or it needs none.

    Args:
        outage: see `outage_of`.
    """
    if group.needs_nothing:
        return ""
    fix = "" if group.fix in group.why else group.fix
    if group.lead.kind == Kind.MISSED and len(group.same) > 1:
        command = missed_command(*outage) if outage else "sisy_tasks missed"
        return f"{fix} To list them: manage.py {command}"
    if group.lead.is_over and group.since is None:
        return "To list all of them: manage.py sisy_alerts list --all"
    return fix


def in_lines(
    group: AlertGroup, facts: Facts, outage: tuple[datetime, datetime] | None, now: datetime
) -> Lines:
    """Return a group of alerts in lines: what is wrong since when, the fix, and who handles it.

    A delay that is over has no beginning.
    """
    since = None if group.lead.is_over else group.since
    said = f"{group.what}: {group.why}" if group.what else group.why
    lines = [
        f"{said} Since {with_recurrence(since, group.recurred)}." if since else said,
        f"{facts.began_after}." if facts.began_after else "",
        facts.warning,
        facts.backlog,
        facts.hanging,
        facts.paused,
        f"Note: {note}" if (note := noted(facts.note, group.lead.task)) else "",
        fix_of(group, outage),
        f"Affects {group.affects}." if len(group.alerts) > 1 else "",
        f"Closed by {group.closed_by}. {group.reopening}" if group.closed else "",
        f"{capfirst(group.acknowledged)}." if group.acknowledged else "",
        f"Muted until {shown(until)}." if (until := group.muted_until(now)) else "",
    ]
    return Lines("\n".join(filter(None, lines)))


def noted(note: str, task: int | None) -> str:
    """Return the first line of a task's note, and where to read the others, if there are any."""
    first = first_line(note)
    has_more = len(note.split()) > len(first.split())
    return f"{first} All of it: manage.py sisy_tasks show {task}" if has_more else first


def unchanged(alerts: Iterable[Alert], verb: str, now: datetime) -> str:
    """Return why a verb changed none of these alerts."""
    reasons = [_why_unchanged(alert, verb, now) for alert in alerts]
    shown, more = reasons[:MAX_REFUSALS_NAMED], len(reasons[MAX_REFUSALS_NAMED:])
    return " ".join(["Nothing to do.", *shown, *([f"And {more} more."] if more else [])])


def _why_unchanged(alert: Alert, verb: str, now: datetime) -> str:
    zone = timezone.get_default_timezone()
    name = f"Alert {alert.pk}"
    if verb == "mute" and alert.muted_until is not None:
        return f"{name} is already muted until {in_zone(alert.muted_until, zone)}."
    if verb == "unmute" and not alert.is_muted(now):
        return f"{name} is not muted."
    if verb == "reopen":
        return _why_not_reopened(alert)
    if not alert.is_open and alert.closed_at is not None:
        return f"{name} was closed at {in_zone(alert.closed_at, zone)}."
    if verb == "unack" and alert.acknowledged_at is None:
        return f"{name} is not acknowledged."
    if verb == "ack" and alert.acknowledged_at is not None:
        by = alert.acknowledged_by
        at = in_zone(alert.acknowledged_at, zone)
        return f"{name} was already acknowledged{f' by {by}' if by else ''} at {at}."
    return f"{name} was changed by someone else."


def _why_not_reopened(alert: Alert) -> str:
    name = f"Alert {alert.pk}"
    if alert.is_open:
        return f"{name} is open."
    about_it = Alert.objects.using(alert._state.db).filter(
        open_key=open_key(alert.kind, alert.subject)
    )
    if other := about_it.first():
        return f"{name} cannot be reopened: alert {other.pk} about the same problem is open."
    if not alert.closed_by and alert.closed_at is not None:
        at = in_zone(alert.closed_at, timezone.get_default_timezone())
        why = f": {alert.close_reason}" if alert.close_reason else "."
        return f"{name} cannot be reopened. Sisy closed it at {at}, when its problem was over{why}"
    return f"{name} was changed by someone else."
